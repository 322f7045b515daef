import type { Layer, LayerDeclaration } from './layer'

const UNDECLARED: Omit<LayerDeclaration, 'name'> = { kind: 'versioned' }

/** What each layer is: declared by services at start; every layer that nobody declared is versioned and keeps all. */
export class LayerRegistry {
  readonly #exact = new Map<string, LayerDeclaration>()
  readonly #families: LayerDeclaration[] = []
  readonly #resolved = new Map<Layer, Omit<LayerDeclaration, 'name'>>()

  declare(declaration: LayerDeclaration): void {
    const known =
      this.#exact.get(declaration.name) ?? this.#families.find((family) => family.name === declaration.name)
    if (known) throw new Error(`layer ${declaration.name} is declared twice`)
    if (declaration.name.endsWith(':')) this.#families.push(declaration)
    else this.#exact.set(declaration.name, declaration)
    this.#resolved.clear()
  }

  /** Some layer forgets by age. */
  get ages(): boolean {
    return [...this.#exact.values(), ...this.#families].some(({ retention }) => retention?.days !== undefined)
  }

  of(layer: Layer): Omit<LayerDeclaration, 'name'> {
    let found = this.#resolved.get(layer)
    if (found === undefined) {
      found =
        this.#exact.get(layer) ?? this.#families.find((family) => layer.startsWith(family.name)) ?? UNDECLARED
      // Users name layers freely, so what is remembered is bounded.
      if (this.#resolved.size > 10_000) this.#resolved.clear()
      this.#resolved.set(layer, found)
    }
    return found
  }
}
