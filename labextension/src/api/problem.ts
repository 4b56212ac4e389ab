/** What was wrong, where, and what to do about it. */
export class Problem extends Error {
  readonly code: string;
  readonly where: string | null;
  readonly hint: string | null;
  /** HTTP status, 0 when nobody answered. */
  readonly status: number;

  constructor(options: Problem.IOptions) {
    super(options.message);
    this.name = 'Problem';
    this.code = options.code;
    this.where = options.where ?? null;
    this.hint = options.hint ?? null;
    this.status = options.status;
  }

  /** Read the body of an answer that says what went wrong; whatever it is, a problem comes out. */
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

  /** The problem that anything thrown stands for. */
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
