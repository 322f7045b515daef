import type { Channel } from '../channel'
import type { Message } from '../message'

/** The other nodes of the platform, as the router sees them. */
export interface Cluster {
  /** Those that live: epoch by name. */
  readonly others: ReadonlyMap<string, string>
  /** A message for members of another node, in the order of sending, and once. */
  send(node: string, channel: Channel, message: Message): void
  /**
   * Tells a node that this one has members at a channel now. false: it did not say within a second that it knows.
   * @param late told when it says so after all: until then its messages were not for this node
   */
  announce(node: string, channel: Channel, late: () => void): Promise<boolean>
  start(events: ClusterEvents): Promise<void>
  stop(): Promise<void>
}

export interface ClusterEvents {
  /** Messages of one node in the order in which it sent them; the next one waits for this. */
  message(node: string, channel: Channel, message: Message): Promise<void>
  /** That life of the node has members at the channel from now on. */
  announced(node: string, epoch: string, channel: Channel): void
  joined(node: string, epoch: string): void
  /** One life of a node is over: it stopped refreshing, or came back as another. */
  gone(node: string, epoch: string): void
  /** Messages of the node were lost: at these channels, or (undefined) nobody knows where. */
  gap(node: string, channels: readonly Channel[] | undefined): void
}
