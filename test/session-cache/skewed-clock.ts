// Loaded first into a process whose clock is to be wrong by SKEW_MS.
const right = Date.now
const skew = Number(process.env['SKEW_MS'] ?? 0)
Date.now = () => right() + skew
