const ORDER = ['champion', 'challenger', 'previous'];

/** Order of aliases: champion, challenger, previous, then the others by name. */
export function championFirst(one: string, other: string): number {
  const rank = (alias: string): number =>
    (ORDER.indexOf(alias) + ORDER.length + 1) % (ORDER.length + 1);
  return rank(one) - rank(other) || one.localeCompare(other);
}
