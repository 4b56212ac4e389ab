import { Dialog, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import * as React from 'react';

import type { Pipeline, PipelineParam, PipelineRun } from '../api/types';
import { choicesOf, inputOf, paramText, readParams } from '../format/params';
import type { WorkbenchModel } from '../model/workbench';
import { attempt } from './dialogs';

/** Ask for the parameters of a pipeline and start it; null when it was not started. */
export async function runPipelineDialog(
  pipeline: Pipeline,
  model: WorkbenchModel,
  trans: TranslationBundle
): Promise<PipelineRun | null> {
  const texts = Object.fromEntries(
    pipeline.params.map(param => [param.name, paramText(param.default)])
  );
  let wrong: string[] = [];
  for (;;) {
    const result = await showDialog({
      title: trans.__('Run %1', pipeline.name),
      body: new ParamsBody(pipeline.params, texts, wrong, trans),
      buttons: [
        Dialog.cancelButton({ label: trans.__('Cancel') }),
        Dialog.okButton({ label: trans.__('Run') })
      ],
      focusNodeSelector: '[aria-invalid="true"], input, select'
    });
    if (!result.button.accept) {
      return null;
    }
    const read = readParams(pipeline.params, texts);
    wrong = read.wrong;
    if (wrong.length === 0) {
      const started = await attempt(
        () => model.client.runPipeline(pipeline.name, read.values),
        run => trans.__('Pipeline run %1 has started.', run.id)
      );
      await model.pipelineRuns.refresh();
      return started;
    }
    // Some texts cannot be meant: the form is shown again with what was entered, and those marked.
  }
}

/** The fields of a pipeline's parameters; what is entered goes into `texts`. */
class ParamsBody extends ReactWidget {
  constructor(
    private readonly _params: PipelineParam[],
    private readonly _texts: Record<string, string>,
    private readonly _wrong: string[],
    private readonly _trans: TranslationBundle
  ) {
    super();
  }

  protected override render(): React.ReactElement {
    const trans = this._trans;
    return (
      <div className="mw-form">
        {this._params.length === 0 && <p>{trans.__('It has no parameters.')}</p>}
        {this._params.map(param => (
          <ParamRow
            key={param.name}
            param={param}
            text={this._texts[param.name]}
            wrong={this._wrong.includes(param.name)}
            trans={trans}
            onChange={text => {
              this._texts[param.name] = text;
            }}
          />
        ))}
      </div>
    );
  }
}

function ParamRow({
  param,
  text,
  wrong,
  trans,
  onChange
}: {
  param: PipelineParam;
  text: string;
  wrong: boolean;
  trans: TranslationBundle;
  onChange: (text: string) => void;
}): React.ReactElement {
  // Once a field was marked it says with every key whether it is right now.
  const [marked, setMarked] = React.useState(wrong);
  const enter = (value: string) => {
    setMarked(wrong && readParams([param], { [param.name]: value }).wrong.length > 0);
    onChange(value);
  };
  const id = `mw-param-${param.name}`;
  const input = inputOf(param);
  const shared = {
    id,
    className: 'jp-mod-styled',
    'aria-describedby': `${id}-help`,
    'aria-invalid': marked
  };
  return (
    <div className="mw-form-row">
      <label htmlFor={id}>
        {param.name} <code>{param.type}</code>
      </label>
      {input === 'checkbox' ? (
        <input
          {...shared}
          type="checkbox"
          defaultChecked={text === 'true'}
          onChange={event => enter(String(event.target.checked))}
        />
      ) : input === 'choice' ? (
        <select {...shared} defaultValue={text} onChange={event => enter(event.target.value)}>
          {choicesOf(param).map(choice => (
            <option key={choice}>{choice}</option>
          ))}
        </select>
      ) : (
        <input
          {...shared}
          type="text"
          inputMode={input === 'text' ? 'text' : input === 'integer' ? 'numeric' : 'decimal'}
          defaultValue={text}
          spellCheck={false}
          onChange={event => enter(event.target.value)}
        />
      )}
      <small id={`${id}-help`} className={marked ? 'mw-form-wrong' : ''}>
        {marked ? trans.__('This is not: %1', param.type) : param.help}
      </small>
    </div>
  );
}
