import { Dialog, Notification } from '@jupyterlab/apputils';
import { nullTranslator } from '@jupyterlab/translation';
import { PromiseDelegate } from '@lumino/coreutils';
import { fireEvent, screen, waitFor, within } from '@testing-library/react';
import * as React from 'react';

import { Problem } from '../api/problem';
import { type Pipeline, type PipelineParam, type RunDetail } from '../api/types';
import { type IField, type IForm, showForm } from '../components/forms';
import { paramField, showPipelineForm } from '../components/pipeline-form';
import { RegisterAction } from '../pages/register';
import { Harness, run } from './harness';

beforeAll(() => {
  // As in JupyterLab's style sheet; without it the element is hidden.
  document.head.innerHTML = '<style>.jp-Dialog { display: flex }</style>';
  // Dialogs render by themselves, and the tests wait for what they show.
  (globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = false;
});
afterEach(() => {
  Dialog.tracker.forEach(dialog => dialog.reject());
  Notification.dismiss();
});

const name = 'Do it';
const trans = nullTranslator.load('test');

/** Show a form. Its result is wrapped, since an async function would wait for it. */
async function open<T>(form: Partial<IForm<T>>): Promise<{ result: Promise<T | null> }> {
  const submit = (): Promise<T> => Promise.reject(new Error('not submitted'));
  const result = showForm({ title: name, accept: name, submit, ...form }, trans);
  await screen.findByRole('dialog');
  return { result };
}

function input(label: string): HTMLInputElement {
  return screen.getByLabelText(label);
}

/** Enter a text into the field that has the focus. */
function type(text: string): void {
  fireEvent.input(document.activeElement!, { target: { value: text } });
}

function press(key: string): void {
  fireEvent.keyDown(document.activeElement!, { key });
}

/** Types and texts of the notifications. */
function notified(): [string, string][] {
  return Notification.manager.notifications.map(({ type, message }) => [type, message]);
}

const field = (name: string, value: string): IField => ({ name, label: name, value });
const fields = [field('first', 'a'), { ...field('second', 'b'), input: 'lines' as const }];

describe('a form', () => {
  it('focuses its first field when it appears, and does not move the focus later', async () => {
    const appeared = new PromiseDelegate<Element | null>();
    new MutationObserver((_, observer) => {
      if (document.querySelector('.jp-Dialog')) {
        appeared.resolve(document.activeElement);
        observer.disconnect();
      }
    }).observe(document.body, { childList: true });
    await open({ fields });
    expect(await appeared.promise).toBe(input('first'));
    expect(input('first').selectionEnd).toBe(1);

    input('second').focus();
    // When JupyterLab moves the focus later, it does so when the browser is idle.
    await new Promise<void>(resolve => requestIdleCallback(() => resolve()));
    expect(document.activeElement).toBe(input('second'));
  });

  it('stays open with its entries until they are accepted', async () => {
    const answers = [new PromiseDelegate<string>(), new PromiseDelegate<string>()];
    const seen: Record<string, string>[] = [];
    const { result } = await open({
      fields,
      submit: entries => answers[seen.push(entries) - 1].promise
    });
    type('new');
    press('Enter');
    const button = screen.getByRole('button', { name });
    expect(button.getAttribute('aria-disabled')).toBe('true');
    // It is sent once.
    press('Enter');
    fireEvent.click(button);
    expect(seen).toEqual([{ first: 'new', second: 'b' }]);

    const problem = { code: 'invalid_input', message: 'not new', hint: 'try old', status: 422 };
    answers[0].reject(new Problem({ ...problem, where: 'second' }));
    const alert = await screen.findByRole('alert');
    expect(alert.textContent).toBe('not newtry old');
    expect(alert.parentElement!.contains(input('second'))).toBe(true);
    await waitFor(() => expect(document.activeElement).toBe(input('second')));
    expect(input('second').getAttribute('aria-invalid')).toBe('true');
    expect(input('first').value).toBe('new');
    expect(button.getAttribute('aria-disabled')).toBe('false');

    type('c');
    fireEvent.click(button);
    expect(seen[1]).toEqual({ first: 'new', second: 'c' });
    answers[1].resolve('made');
    expect(await result).toBe('made');
    expect(screen.queryByRole('dialog')).toBeNull();
  });

  it.each([
    ['a line that was entered', 'b < 1', 'anything'],
    ['a path to the field', 'body.second', 'anything'],
    ['the parameter in the message', null, "parameter 'second': 'b' is not an int"]
  ])('marks the field that a problem names by %s', async (_, where, message) => {
    await open({
      fields: [fields[0], { ...fields[1], value: 'a < 2\nb < 1' }],
      submit: () => Promise.reject(new Problem({ code: 'x', message, where, status: 422 }))
    });
    press('Enter');
    await screen.findByRole('alert');
    expect(input('second').getAttribute('aria-invalid')).toBe('true');
    expect(input('first').getAttribute('aria-invalid')).toBe('false');
  });

  it('shows a problem that names no field at its top, and focuses it', async () => {
    await open({ fields, submit: () => Promise.reject(new Error('the server is on fire')) });
    press('Enter');
    const alert = await screen.findByRole('alert');
    expect(alert.textContent).toBe('the server is on fire');
    expect(alert.compareDocumentPosition(input('first'))).toBe(Node.DOCUMENT_POSITION_FOLLOWING);
    await waitFor(() => expect(document.activeElement).toBe(alert));
  });

  it('closes on Escape while the request runs, and its outcome is a notification', async () => {
    let answer = new PromiseDelegate<string>();
    const submit = (): Promise<string> => answer.promise;
    const success = (value: string): string => `it is ${value}`;
    const close = async (): Promise<{ result: Promise<string | null> }> => {
      const opened = await open({ fields, submit, success });
      press('Enter');
      press('Escape');
      expect(screen.queryByRole('dialog')).toBeNull();
      return opened;
    };
    const failed = await close();
    const problem = { code: 'x', message: 'not new', hint: 'try old', status: 422 };
    answer.reject(new Problem(problem));
    expect(await failed.result).toBeNull();
    expect(notified()).toEqual([['error', 'not new\n\ntry old']]);

    Notification.dismiss();
    answer = new PromiseDelegate();
    const succeeded = await close();
    answer.resolve('made');
    expect(await succeeded.result).toBe('made');
    expect(notified()).toEqual([['success', 'it is made']]);
  });

  it('does not open while another one opens or is open', async () => {
    const submit = (): Promise<number> => Promise.resolve(2);
    const { result } = await open({ submit });
    const second = 'Do it again';
    const again = { title: second, accept: name, submit };
    expect(await showForm(again, trans)).toBeNull();
    press('Escape');
    expect(await result).toBeNull();

    const both = [showForm(again, trans), showForm(again, trans)];
    expect(await both[1]).toBeNull();
    await screen.findByRole('dialog', { name: second });
    press('Enter');
    expect(await both[0]).toBe(2);
    expect(screen.queryByRole('dialog')).toBeNull();
  });

  it('is described by its intro, and each field by its help and its problem', async () => {
    await open({
      intro: 'It cannot be undone.',
      fields: [fields[0], { ...fields[1], help: 'of two' }],
      submit: () =>
        Promise.reject(new Problem({ code: 'x', message: 'bad', where: 'second', status: 422 }))
    });
    screen.getByRole('dialog', { name, description: 'It cannot be undone.' });
    expect(input('first').hasAttribute('aria-describedby')).toBe(false);
    screen.getByRole('textbox', { name: 'second', description: 'of two' });
    press('Enter');
    await screen.findByRole('textbox', { name: 'second', description: 'bad of two' });
  });

  it('takes its default button if no button is given', async () => {
    const submit = (): Promise<number> => Promise.resolve(1);
    for (const [danger, outcome] of [
      [true, null],
      [false, 1]
    ] as const) {
      const { result } = await open({ danger, submit });
      Dialog.tracker.forEach(dialog => dialog.resolve());
      expect(await result).toBe(outcome);
    }
  });

  it('is not sent while a required field is empty, and focuses this field', async () => {
    let sent = false;
    const submit = (): Promise<void> => {
      sent = true;
      return Promise.resolve();
    };
    await open({ fields: [fields[1], { ...fields[0], value: '', required: true }], submit });
    let reported = false;
    input('first').addEventListener('invalid', () => (reported = true));
    fireEvent.click(screen.getByRole('button', { name }));
    expect(sent).toBe(false);
    expect(reported).toBe(true);
    expect(document.activeElement).toBe(input('first'));
    type('a');
    press('Enter');
    await waitFor(() => expect(sent).toBe(true));
  });

  it('is cancelled by Enter if it removes something', async () => {
    let sent = false;
    const submit = (): Promise<void> => {
      sent = true;
      return Promise.resolve();
    };
    const { result } = await open({ danger: true, submit });
    expect(document.activeElement).toBe(screen.getByRole('button', { name: 'Cancel' }));
    press('Enter');
    expect(await result).toBeNull();
    expect(sent).toBe(false);
  });
});

describe('the forms of the server', () => {
  let harness: Harness;

  beforeEach(async () => {
    harness = new Harness();
    await harness.start();
  });
  afterEach(() => harness.stop());

  function param(kind: string, value: PipelineParam['default'] = null): PipelineParam {
    return { name: 'p', type: kind, default: value, help: '' };
  }

  it('has an input that fits the type of a parameter', () => {
    expect(paramField(param('int', 3))).toMatchObject({ input: 'numeric', value: '3' });
    expect(paramField(param('float', 1e-7))).toMatchObject({ input: 'decimal', value: '1e-7' });
    expect(paramField(param('bool', true))).toMatchObject({ input: 'checkbox', value: 'true' });
    const list = paramField(param('list[int]', '[1, 2]'));
    expect(list).toMatchObject({ input: undefined, options: undefined, value: '[1, 2]' });
    const choices = (kind: string, value: PipelineParam['default'] = null): unknown =>
      paramField(param(kind, value)).options?.map(option => option.value);
    expect(choices("one of 'mae', 'rmse'", 'mae')).toEqual(['mae', 'rmse']);
    // Without a default, no value is selected.
    expect(choices("one of 'mae', 'rmse'")).toEqual(['', 'mae', 'rmse']);
    expect(choices('bool')).toEqual(['', 'true', 'false']);
    expect(choices('one of 1, 2', 1)).toBeUndefined();
  });

  it('sends the entries that differ from the defaults as text, and the server checks them', async () => {
    const pipeline: Pipeline = {
      name: 'flights',
      path: 'p.yaml',
      stages: [],
      problem: '',
      graph: [],
      version: 2,
      params: [
        { name: 'months', type: 'list[int]', default: '[1, 2]', help: 'of 2013' },
        { name: 'rows', type: 'int', default: 100, help: '' },
        { name: 'fast', type: 'bool', default: false, help: '' }
      ]
    };
    const message = "parameter 'months': '[1, 2]many' is not a list[int]";
    harness.server.reply = ({ method, body }) =>
      method === 'GET'
        ? { body: [] }
        : JSON.stringify(body).includes('many')
          ? { status: 422, body: { code: 'invalid_input', message, hint: 'write it as [1, 2]' } }
          : { status: 202, body: { id: 'p1' } };
    const sent = (): unknown[] =>
      harness.server.requests.filter(item => item.method === 'POST').map(item => item.body);

    const result = showPipelineForm(pipeline, harness.model, trans);
    const dialog = within(await screen.findByRole('dialog', { name: 'Run flights' }));
    type('[1, 2]many');
    fireEvent.click(dialog.getByLabelText('fast bool'));
    press('Enter');
    expect((await dialog.findByRole('alert')).textContent).toContain(message);
    expect(input('months list[int]').value).toBe('[1, 2]many');
    expect(input('fast bool').checked).toBe(true);

    fireEvent.input(input('months list[int]'), { target: { value: '[3]' } });
    fireEvent.click(dialog.getByRole('button', { name: 'Run' }));
    expect(await result).toMatchObject({ id: 'p1' });
    expect(sent()).toEqual([
      { texts: { months: '[1, 2]many', fast: 'true' } },
      { texts: { months: '[3]', fast: 'true' } }
    ]);
  });

  it('refreshes the runs of pipelines after a failure, and does not wait for them', async () => {
    const pipeline: Pipeline = {
      name: 'flights',
      path: '',
      stages: [],
      problem: '',
      params: [],
      graph: [],
      version: 2
    };
    const { server } = harness;
    const sent = (method: string): number =>
      server.requests.filter(item => item.method === method).length;
    const runs = new PromiseDelegate<{ body: unknown }>();
    server.reply = ({ method }) =>
      method === 'GET'
        ? runs.promise
        : sent('POST') === 1
          ? { status: 503, body: { code: 'unavailable', message: 'not now' } }
          : { status: 202, body: { id: 'p1' } };
    const result = showPipelineForm(pipeline, harness.model, trans);
    await screen.findByRole('dialog');
    press('Enter');
    const alert = await screen.findByRole('alert');
    expect(alert.textContent).toContain('not now');
    await waitFor(() => expect(sent('GET')).toBe(1));
    fireEvent.click(screen.getByRole('button', { name: 'Run' }));
    expect(await result).toMatchObject({ id: 'p1' });
    runs.resolve({ body: [] });
    // A change during a request leads to one more request.
    await waitFor(() => expect(sent('GET')).toBe(2));
  });

  it('registers the chosen model at every attempt', async () => {
    const models = [{ name: 'best' }, { name: 'last' }];
    const detail = { run: run({}), models } as unknown as RunDetail;
    const failure = { code: 'gate_failed', message: 'flights/3 did not pass its gate' };
    harness.server.reply = ({ body }) =>
      JSON.stringify(body).includes('mae < 5')
        ? { status: 409, body: failure }
        : { body: { name: 'flights', version: 3 } };
    harness.show(<RegisterAction detail={detail} />);
    fireEvent.click(screen.getByRole('button', { name: 'Register…' }));
    const dialog = within(await screen.findByRole('dialog'));
    const attempt = (gate: string): void => {
      fireEvent.input(dialog.getByLabelText('Gate'), { target: { value: gate } });
      fireEvent.click(dialog.getByRole('button', { name: 'Register' }));
    };
    fireEvent.change(dialog.getByLabelText('Model'), { target: { value: 'last' } });
    attempt('mae < 5');
    expect((await dialog.findByRole('alert')).textContent).toContain(failure.message);
    attempt('mae < 9');
    await waitFor(() => expect(harness.opened).toEqual([['model', 'flights']]));
    const { requests } = harness.server;
    expect(requests.map(({ method, url }) => [method, url.replace(/^.*api/, '')])).toEqual([
      ['POST', '/models/flights/versions'],
      ['POST', '/models/flights/versions']
    ]);
    const body = { run: 'u1', model: 'last', experiment: '', alias: '', baseline: '' };
    expect(requests.map(item => item.body)).toEqual([
      { ...body, gate: ['mae < 5'] },
      { ...body, gate: ['mae < 9'] }
    ]);
  });
});
