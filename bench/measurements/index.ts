import type { Measurement } from '../measurement'
import { get } from './get'
import { mixed } from './mixed'
import { put } from './put'

/** In the order of the table. */
export const MEASUREMENTS: readonly Measurement[] = [get, put, mixed]
