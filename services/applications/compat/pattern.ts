/** A name in a URL of the contract, as a group of a pattern. */
export const NAME = '([0-9a-zA-Z._-]+)'

/** How a pattern ends: one trailing slash is ignored. */
export const SLASH = '/?$'
