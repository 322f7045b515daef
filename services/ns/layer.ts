import { Layer } from '../../core'

export const LAYER = Layer.parse('*ns')
