import snippets from './snippets.json';

/** Code that pages show; a test runs the cells of all of them in this order. */
export type SnippetName = keyof typeof snippets;

/** Cells of a snippet, in which `{name}` stands for a value. */
export function snippet(name: SnippetName, values: Record<string, string | number> = {}): string[] {
  return snippets[name].cells.map(cell =>
    cell.replace(/\{(\w+)\}/g, (whole, key: string) => String(values[key] ?? whole))
  );
}
