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
