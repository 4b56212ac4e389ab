/** Lines of a text, without empty ones. */
export function lines(text: string): string[] {
  return text
    .split('\n')
    .map(line => line.trim())
    .filter(line => line !== '');
}

/** Last part of a path. */
export function basename(path: string): string {
  return path.split('/').pop() ?? path;
}

/** The form of an id that is shown: its last eight digits, which are random; the first ones are the time. */
export function shortId(id: string): string {
  return id.slice(-8);
}
