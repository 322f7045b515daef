/** A page of the documentation that is made from the code. */
export interface Page {
  /** In docs/. */
  readonly file: string
  render(): string
}

/** Says at the top of each page where it comes from. */
export function notice(source: string): string {
  return `<!-- Made from ${source} by \`npm run docs\`. Change it there. -->\n`
}

/** A cell of a table: one line, without a bare `|`. */
export function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ')
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map(cell).join(' | ')} |`
  return [line(head), `|${head.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n') + '\n'
}
