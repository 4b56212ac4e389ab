import type { ParamValue, ParamValues, PipelineParam } from '../api/types';

/** How a parameter is entered. */
export type ParamInput = 'checkbox' | 'integer' | 'number' | 'choice' | 'text';

/** Input for a parameter's type in plain words (`int`, `float or None`, `one of 'a', 'b'`, ...). */
export function inputOf(param: PipelineParam): ParamInput {
  const type = plainType(param);
  if (choicesOf(param).length > 0) {
    return 'choice';
  }
  switch (type) {
    case 'bool':
      // "or None" has three states: it is typed.
      return isOptional(param) ? 'text' : 'checkbox';
    case 'int':
      return 'integer';
    case 'float':
      return 'number';
    default:
      return 'text';
  }
}

/** Values of a `one of ...` type: texts, when all are texts. */
export function choicesOf(param: PipelineParam): string[] {
  const type = plainType(param);
  if (!type.startsWith('one of ')) {
    return [];
  }
  const quoted = /^(?:'[^'\\]*'|"[^"\\]*")$/;
  const items = type.slice('one of '.length).split(', ');
  return items.every(item => quoted.test(item)) ? items.map(item => item.slice(1, -1)) : [];
}

/** Text that stands in the field for a value. */
export function paramText(value: ParamValue): string {
  if (value === null) {
    return '';
  }
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/**
 * The value that a field's text stands for.
 *
 * The control plane knows the types and converts texts itself; only what JSON can say better than a
 * text is converted here. Throws a `RangeError` when the text cannot be meant.
 */
export function paramValue(param: PipelineParam, text: string): ParamValue {
  const trimmed = text.trim();
  if (trimmed === '' && (isOptional(param) || param.default === null)) {
    return null;
  }
  switch (inputOf(param)) {
    case 'checkbox':
      return trimmed === 'true';
    case 'integer':
    case 'number': {
      const value = Number(trimmed);
      const whole = inputOf(param) === 'integer';
      if (trimmed === '' || !Number.isFinite(value) || (whole && !Number.isSafeInteger(value))) {
        throw new RangeError(param.name);
      }
      return value;
    }
    default:
      return text;
  }
}

/** The values that differ from the defaults, and the names of those whose text cannot be meant. */
export function readParams(
  params: PipelineParam[],
  texts: Record<string, string>
): { values: ParamValues; wrong: string[] } {
  const values: ParamValues = {};
  const wrong: string[] = [];
  for (const param of params) {
    const text = texts[param.name];
    if (text === paramText(param.default)) {
      continue;
    }
    try {
      values[param.name] = paramValue(param, text);
    } catch {
      wrong.push(param.name);
    }
  }
  return { values, wrong };
}

function isOptional(param: PipelineParam): boolean {
  return param.type.endsWith(' or None');
}

function plainType(param: PipelineParam): string {
  return isOptional(param) ? param.type.slice(0, -' or None'.length) : param.type;
}
