import { type ZodType, z } from 'zod'

/** A query parameter, or a member of the body. */
export interface Field {
  readonly name: string
  readonly required: boolean
  /** What it may be, in words. */
  readonly type: string
}

/** The part of JSON Schema that zod writes and that is read here. */
interface Schema {
  readonly type?: string | readonly string[]
  readonly description?: string
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly default?: unknown
  readonly pattern?: string
  readonly anyOf?: readonly Schema[]
  readonly oneOf?: readonly Schema[]
  readonly items?: Schema
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
}

/** The members of an object schema. An optional or nullable body counts as its object. */
export function fieldsOf(type: ZodType): readonly Field[] {
  const schema = z.toJSONSchema(type, { io: 'input', unrepresentable: 'any' }) as Schema
  const object = [schema, ...alternatives(schema)].find(({ properties }) => properties !== undefined)
  return Object.entries(object?.properties ?? {}).map(([name, property]) => ({
    name,
    required: object?.required?.includes(name) === true && property.default === undefined,
    type: words(property),
  }))
}

function alternatives(schema: Schema): readonly Schema[] {
  return schema.anyOf ?? schema.oneOf ?? []
}

function words(schema: Schema): string {
  const standard = schema.default === undefined ? '' : `; default ${code(schema.default)}`
  return (schema.description ?? shape(schema)) + standard
}

function shape(schema: Schema): string {
  if (schema.const !== undefined) return code(schema.const)
  if (schema.enum !== undefined) return schema.enum.map(code).join(', ')
  const choices = alternatives(schema)
  if (choices.length > 0) return choices.map(words).join(' or ')
  if (schema.type === 'array')
    return `list of ${schema.items === undefined ? 'anything' : words(schema.items)}`
  const type = typeof schema.type === 'string' ? schema.type : (schema.type ?? ['any JSON']).join(' or ')
  return schema.pattern === undefined ? type : `${type} like ${code(schema.pattern)}`
}

function code(value: unknown): string {
  return '`' + (typeof value === 'string' ? value : JSON.stringify(value)) + '`'
}
