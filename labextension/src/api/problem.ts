/** An error: what is wrong, where, and how to fix it. */
export class Problem extends Error {
  readonly code: string;
  readonly where: string | null;
  readonly hint: string | null;
  /** HTTP status; 0 without an answer. */
  readonly status: number;

  constructor(options: Problem.IOptions) {
    super(options.message);
    this.name = 'Problem';
    this.code = options.code;
    this.where = options.where ?? null;
    this.hint = options.hint ?? null;
    this.status = options.status;
  }

  /** The problem that the body of a response describes; a body of any other form gives a problem too. */
  static fromBody(body: unknown, response: Response): Problem {
    const fields = isRecord(body) ? body : {};
    return new Problem({
      code: text(fields.code) ?? 'error',
      message: text(fields.message) ?? `${response.status} ${response.statusText}`.trim(),
      where: text(fields.where),
      hint: text(fields.hint),
      status: response.status
    });
  }

  /** The problem for anything that was thrown. */
  static from(reason: unknown): Problem {
    if (reason instanceof Problem) {
      return reason;
    }
    const message = reason instanceof Error ? reason.message : String(reason);
    return new Problem({ code: 'unreachable', message, status: 0 });
  }
}

export namespace Problem {
  export interface IOptions {
    code: string;
    message: string;
    where?: string | null;
    hint?: string | null;
    status: number;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function text(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}
