import { Dialog, Notification, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import * as React from 'react';

import { Problem } from '../api/problem';

/** A field of a small form. */
export interface IField {
  name: string;
  label: string;
  value: string;
  help?: string;
  required?: boolean;
  /** Lines of a text; one by default. */
  lines?: number;
  options?: string[];
}

/** Ask for a few texts; null when the user thought better of it. */
export async function askFields(
  title: string,
  intro: string,
  fields: IField[],
  accept: string,
  trans: TranslationBundle
): Promise<Record<string, string> | null> {
  const body = new FieldsBody(intro, fields);
  const result = await showDialog<Record<string, string>>({
    title,
    body,
    buttons: [
      Dialog.cancelButton({ label: trans.__('Cancel') }),
      Dialog.okButton({ label: accept })
    ],
    focusNodeSelector: 'input, select, textarea'
  });
  return result.button.accept ? result.value : null;
}

/** Ask whether it is meant. */
export async function confirm(
  title: string,
  text: string,
  accept: string,
  trans: TranslationBundle,
  danger = false
): Promise<boolean> {
  const button = danger ? Dialog.warnButton : Dialog.okButton;
  const result = await showDialog({
    title,
    body: text,
    buttons: [Dialog.cancelButton({ label: trans.__('Cancel') }), button({ label: accept })]
  });
  return result.button.accept;
}

/** Do something that the user asked for: a problem is shown to them, with what to do about it. */
export async function attempt<T>(
  what: () => Promise<T>,
  success?: (value: T) => string
): Promise<T | null> {
  try {
    const value = await what();
    if (success) {
      Notification.success(success(value), { autoClose: 4000 });
    }
    return value;
  } catch (reason) {
    const problem = Problem.from(reason);
    const text = problem.hint ? `${problem.message}\n\n${problem.hint}` : problem.message;
    Notification.error(text, { autoClose: false });
    return null;
  }
}

class FieldsBody extends ReactWidget implements Dialog.IBodyWidget<Record<string, string>> {
  constructor(
    private readonly _intro: string,
    private readonly _fields: IField[]
  ) {
    super();
    this._values = Object.fromEntries(_fields.map(field => [field.name, field.value]));
  }

  getValue(): Record<string, string> {
    return { ...this._values };
  }

  protected override render(): React.ReactElement {
    return (
      <div className="mw-form">
        <p>{this._intro}</p>
        {this._fields.map(field => (
          <FieldRow key={field.name} field={field} onChange={this._set} />
        ))}
      </div>
    );
  }

  private readonly _set = (name: string, value: string): void => {
    this._values[name] = value;
  };

  private readonly _values: Record<string, string>;
}

function FieldRow({
  field,
  onChange
}: {
  field: IField;
  onChange: (name: string, value: string) => void;
}): React.ReactElement {
  const id = `mw-field-${field.name}`;
  const shared = {
    id,
    className: 'jp-mod-styled',
    defaultValue: field.value,
    'aria-describedby': field.help ? `${id}-help` : undefined,
    onChange: (
      event: React.ChangeEvent<HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement>
    ) => onChange(field.name, event.target.value)
  };
  return (
    <div className="mw-form-row">
      <label htmlFor={id}>{field.label}</label>
      {field.options ? (
        <select {...shared}>
          {field.options.map(option => (
            <option key={option}>{option}</option>
          ))}
        </select>
      ) : field.lines ? (
        <textarea {...shared} rows={field.lines} spellCheck={false} />
      ) : (
        <input {...shared} type="text" required={field.required} spellCheck={false} />
      )}
      {field.help && <small id={`${id}-help`}>{field.help}</small>}
    </div>
  );
}
