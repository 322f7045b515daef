/** A stretch of time, unix ms, in which the platform could not take heartbeats; or that a clock step skipped. */
export interface Outage {
  readonly from: number
  readonly to: number
}

/** Outages are forgotten once no lease can reach back to them: the longest timeout is two minutes. */
const REMEMBERED_MS = 10 * 60_000
const MOST = 100

/** The list with one more, in order, without overlaps; what is too old to matter is left out. */
export function withOutage(outages: readonly Outage[], { from, to }: Outage): readonly Outage[] {
  const merged: Outage[] = []
  let added: Outage = { from, to }
  for (const outage of outages) {
    if (outage.to < to - REMEMBERED_MS) continue
    if (outage.to < added.from || outage.from > added.to) merged.push(outage)
    else added = { from: Math.min(outage.from, added.from), to: Math.max(outage.to, added.to) }
  }
  merged.push(added)
  return merged.sort((a, b) => a.from - b.from).slice(-MOST)
}

/**
 * When a lease really ends: each outage that touches it adds its length, since nobody could renew it meanwhile.
 * @param granted unix ms of the last heartbeat
 * @param outages in order, without overlaps
 */
export function extendedDeadline(granted: number, deadline: number, outages: readonly Outage[]): number {
  let end = deadline
  for (const { from, to } of outages) if (from < end && to > granted) end += to - Math.max(from, granted)
  return end
}
