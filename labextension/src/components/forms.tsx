import { Dialog, Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import { PromiseDelegate } from '@lumino/coreutils';
import { type Message, MessageLoop } from '@lumino/messaging';
import { Panel, Widget } from '@lumino/widgets';
import * as React from 'react';

import { Problem } from '../api/problem';
import { lines } from '../format/text';
import { ProblemText } from './notices';

/** A field of a form. */
export interface IField {
  name: string;
  label: string;
  value: string;
  help?: string;
  /** Type of the value, shown beside the label. */
  type?: string;
  required?: boolean;
  /** Kind of input: one line of text by default, a choice if there are `options`. */
  input?: 'checkbox' | 'numeric' | 'decimal' | 'lines';
  options?: { value: string; label?: string }[];
}

/** A form in a dialog. */
export interface IForm<T> {
  title: string;
  intro?: string;
  fields?: IField[];
  /** Label of the button that submits. */
  accept: string;
  /** Label of the button that closes the form; `Cancel` by default. */
  dismiss?: string;
  /** Whether the action removes or stops something. */
  danger?: boolean;
  /** Takes the entries by the names of the fields. Rejects with the problem that the form shows. */
  submit: (entries: Record<string, string>) => Promise<T>;
  /** Text of a notification after success. */
  success?: (value: T) => string;
}

let isFormOpen = false;

/**
 * Show a form and submit it; null when the user cancels or another form is open.
 *
 * The form stays open, with its entries, until `submit` has succeeded. If the user closes it earlier, the outcome is
 * shown as a notification.
 */
export async function showForm<T>(form: IForm<T>, trans: TranslationBundle): Promise<T | null> {
  // A second click may come before the first dialog covers the page.
  if (isFormOpen) {
    return null;
  }
  isFormOpen = true;
  const body = new FormBody(form.intro ?? '', form.fields ?? []);
  await body.rendered.promise;
  const dialog = new FormDialog(form, body, trans);
  await dialog.launch().finally(() => {
    isFormOpen = false;
  });
  await dialog.submitted;
  return dialog.result;
}

/** Do something without a form; a problem is shown as a notification. */
export async function attempt<T>(what: () => Promise<T>): Promise<T | null> {
  try {
    return await what();
  } catch (reason) {
    notify(Problem.from(reason));
    return null;
  }
}

function notify({ message, hint }: Problem): void {
  Notification.error(hint ? `${message}\n\n${hint}` : message, { autoClose: false });
}

const CANCEL = 0;
const ACCEPT = 1;
const INTRO_ID = 'mw-form-intro';

class FormDialog<T> extends Dialog<T> {
  constructor(
    private readonly _form: IForm<T>,
    private readonly _fields: FormBody,
    trans: TranslationBundle
  ) {
    // JupyterLab focuses a field when it attaches the dialog. If the body itself is a React widget, JupyterLab does
    // so later, when the browser is idle, and takes the focus from a user who is typing.
    const panel = new Panel();
    panel.addWidget(_fields);
    const accept = { label: _form.accept };
    super({
      title: _form.title,
      body: panel,
      buttons: [
        Dialog.cancelButton({ label: _form.dismiss ?? trans.__('Cancel') }),
        _form.danger ? Dialog.warnButton(accept) : Dialog.okButton(accept)
      ],
      // Enter alone must not remove or stop anything.
      defaultButton: _form.danger ? CANCEL : ACCEPT,
      focusNodeSelector: 'input, select, textarea'
    });
    this.addClass('mw-form-dialog');
    this.node.setAttribute('aria-label', _form.title);
    if (_form.intro) {
      this.node.setAttribute('aria-describedby', INTRO_ID);
    }
  }

  /** Result of `submit`; null before. */
  result: T | null = null;

  /** Settled when no request runs. */
  submitted: Promise<void> = Promise.resolve();

  override resolve(index = this._form.danger ? CANCEL : ACCEPT): void {
    if (index !== ACCEPT) {
      super.resolve(index);
    } else if (!this._busy) {
      const invalid = this.node.querySelector<HTMLInputElement>(':invalid');
      if (invalid) {
        invalid.focus();
        invalid.reportValidity();
      } else {
        this.submitted = this._submit();
      }
    }
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    if (document.activeElement instanceof HTMLInputElement) {
      // Typed text replaces the default.
      document.activeElement.select();
    }
  }

  private async _submit(): Promise<void> {
    const { submit, success } = this._form;
    this._setBusy(true);
    const entries = { ...this._fields.entries };
    try {
      this.result = await submit(entries);
      if (success) {
        Notification.success(success(this.result), { autoClose: 4000 });
      }
      this.reject();
    } catch (reason) {
      const problem = Problem.from(reason);
      if (this.isDisposed) {
        notify(problem);
      } else {
        this._setBusy(false);
        this._fields.refuse(problem, entries);
      }
    }
  }

  private _setBusy(busy: boolean): void {
    this._busy = busy;
    const button = this.node.querySelector('.jp-mod-accept');
    // A disabled button would lose the focus, and the dialog would no longer receive Escape.
    button?.setAttribute('aria-disabled', String(busy));
    button?.setAttribute('aria-busy', String(busy));
  }

  private _busy = false;
}

class FormBody extends ReactWidget {
  constructor(
    private readonly _intro: string,
    private readonly _fields: IField[]
  ) {
    super();
    this.entries = Object.fromEntries(_fields.map(field => [field.name, field.value]));
    MessageLoop.sendMessage(this, Widget.Msg.UpdateRequest);
  }

  /** Entries by the names of the fields. */
  readonly entries: Record<string, string>;

  /** Resolved when the fields exist. */
  readonly rendered = new PromiseDelegate<void>();

  /** Show why the server refused the entries. */
  refuse(problem: Problem, entries: Record<string, string>): void {
    this._refusal = { problem, field: fieldOf(problem, entries) };
    this.update();
  }

  protected override render(): React.ReactElement {
    return (
      <Form
        intro={this._intro}
        fields={this._fields}
        refusal={this._refusal}
        onChange={this._enter}
        onRendered={this._onRendered}
      />
    );
  }

  private readonly _enter = (name: string, text: string): void => {
    this.entries[name] = text;
  };
  private readonly _onRendered = (): void => this.rendered.resolve();
  private _refusal: IRefusal | null = null;
}

/** A problem, and the name of the field that it concerns. */
interface IRefusal {
  problem: Problem;
  field: string | undefined;
}

/** Name of the field that a problem mentions by its name or by its entry. */
function fieldOf({ where, message }: Problem, entries: Record<string, string>): string | undefined {
  return Object.keys(entries).find(
    name =>
      where?.split('.').pop() === name ||
      (where !== null && lines(entries[name]).includes(where)) ||
      message.includes(`parameter '${name}'`)
  );
}

function Form({
  intro,
  fields,
  refusal,
  onChange,
  onRendered
}: {
  intro: string;
  fields: IField[];
  refusal: IRefusal | null;
  onChange: (name: string, text: string) => void;
  onRendered: () => void;
}): React.ReactElement {
  const form = React.useRef<HTMLDivElement>(null);
  React.useLayoutEffect(onRendered, [onRendered]);
  React.useEffect(() => {
    if (refusal) {
      form.current?.querySelector<HTMLElement>('[aria-invalid="true"], [role="alert"]')?.focus();
    }
  }, [refusal]);
  return (
    <div className="mw-form" ref={form}>
      {refusal && refusal.field === undefined && (
        <div className="mw-problem" role="alert" tabIndex={-1}>
          <ProblemText problem={refusal.problem} />
        </div>
      )}
      {intro && <p id={INTRO_ID}>{intro}</p>}
      {fields.map(field => (
        <FieldRow
          key={field.name}
          field={field}
          problem={refusal?.field === field.name ? refusal.problem : null}
          onChange={text => onChange(field.name, text)}
        />
      ))}
    </div>
  );
}

function FieldRow({
  field,
  problem,
  onChange
}: {
  field: IField;
  problem: Problem | null;
  onChange: (text: string) => void;
}): React.ReactElement {
  const { name, label, value, help, type, required, input, options } = field;
  const id = `mw-field-${name}`;
  const descriptions = [problem && `${id}-problem`, help && `${id}-help`].filter(Boolean);
  const shared = {
    id,
    className: 'jp-mod-styled',
    'aria-describedby': descriptions.join(' ') || undefined,
    'aria-invalid': problem !== null
  };
  const text = {
    ...shared,
    defaultValue: value,
    onChange: (
      event: React.ChangeEvent<HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement>
    ) => onChange(event.target.value)
  };
  return (
    <div className="mw-form-row">
      <label htmlFor={id}>
        {label} {type && <code>{type}</code>}
      </label>
      {options ? (
        <select {...text}>
          {options.map(option => (
            <option key={option.value} value={option.value}>
              {option.label ?? option.value}
            </option>
          ))}
        </select>
      ) : input === 'lines' ? (
        <textarea {...text} rows={3} spellCheck={false} />
      ) : input === 'checkbox' ? (
        <input
          {...shared}
          type="checkbox"
          defaultChecked={value === 'true'}
          onChange={event => onChange(String(event.target.checked))}
        />
      ) : (
        <input {...text} type="text" inputMode={input} required={required} spellCheck={false} />
      )}
      {problem && (
        <div id={`${id}-problem`} className="mw-form-wrong" role="alert">
          {problem.message}
          {problem.hint && <div className="mw-problem-hint">{problem.hint}</div>}
        </div>
      )}
      {help && <small id={`${id}-help`}>{help}</small>}
    </div>
  );
}
