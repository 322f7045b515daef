/** Columns under their titles, as wide as their widest cell; nothing but the titles where there are no rows. */
export function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = rows.map((row) => row.map(printable))
  const widths = titles.map((title, i) => Math.max(title.length, ...cells.map((row) => row[i]!.length)))
  return [titles.map((title) => title.toUpperCase()), ...cells]
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** What others wrote must not move the cursor of a terminal. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, '�')
}
