import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { DisposableDelegate, type IDisposable } from '@lumino/disposable';
import * as React from 'react';

import { type IWorkbenchContext, WorkbenchContext } from '../components/context';
import { ShownWidget } from '../components/shown';
import { linkTo } from '../links';
import type { WorkbenchModel } from '../model/workbench';
import { type IDocumentKind, IWorkbenchDocuments, IWorkbenchModel, type Noun } from '../tokens';

/** Opens documents in the main area, and restores them after a reload. */
export const documentsPlugin: JupyterFrontEndPlugin<IWorkbenchDocuments> = {
  id: 'mlops-workbench:documents',
  description: 'Provides the documents of the workbench in the main area.',
  autoStart: true,
  requires: [IWorkbenchModel],
  optional: [ITranslator, ILayoutRestorer, IRenderMimeRegistry],
  provides: IWorkbenchDocuments,
  activate: (
    app,
    model: WorkbenchModel,
    translator: ITranslator | null,
    restorer: ILayoutRestorer | null,
    rendermime: IRenderMimeRegistry | null
  ) => {
    const trans = (translator ?? nullTranslator).load('mlops_workbench');
    return new Documents(app, restorer, { model, trans, rendermime });
  }
};

class Documents implements IWorkbenchDocuments {
  constructor(
    private readonly _app: JupyterFrontEnd,
    private readonly _restorer: ILayoutRestorer | null,
    context: Omit<IWorkbenchContext, 'open'>
  ) {
    this._context = { ...context, open: (noun, id) => this.open(noun, id) };
  }

  add(kind: IDocumentKind): IDisposable {
    const tracker = new WidgetTracker<MainAreaWidget>({
      namespace: `mlops-workbench-${kind.noun}`
    });
    const ids = new WeakMap<MainAreaWidget, string>();
    const command = this._app.commands.addCommand(kind.command, {
      label: kind.commandLabel,
      icon: kind.icon,
      describedBy: { args: ARGS },
      execute: args => {
        const { id } = args;
        if (typeof id !== 'string' || id === '') {
          return;
        }
        const open = tracker.find(widget => ids.get(widget) === id);
        const widget = open ?? this._create(kind, id);
        if (!widget.isAttached) {
          this._app.shell.add(widget, 'main');
        }
        if (widget.parent === null) {
          // Notebook 7 shows nothing but the notebook on its page.
          widget.dispose();
          const { baseUrl } = this._app.serviceManager.serverSettings;
          window.open(linkTo(baseUrl, kind.noun, id), '_blank', 'noopener');
          return;
        }
        if (!open) {
          ids.set(widget, id);
          void tracker.add(widget);
        }
        this._app.shell.activateById(widget.id);
        return widget;
      }
    });
    void this._restorer?.restore(tracker, {
      command: kind.command,
      args: widget => ({ id: ids.get(widget) ?? '' }),
      name: widget => ids.get(widget) ?? ''
    });
    this._commands.set(kind.noun, kind.command);
    return new DisposableDelegate(() => {
      command.dispose();
      tracker.dispose();
      this._commands.delete(kind.noun);
    });
  }

  open(noun: Noun, id: string): void {
    const command = this._commands.get(noun);
    // A noun whose plugin is disabled has no document.
    if (command !== undefined) {
      void this._app.commands.execute(command, { id });
    }
  }

  surround(page: React.ReactElement): React.ReactElement {
    return <WorkbenchContext value={this._context}>{page}</WorkbenchContext>;
  }

  private _create(kind: IDocumentKind, id: string): MainAreaWidget {
    const setTitle = (title: string): void => {
      widget.title.label = title;
    };
    const content = new ShownWidget(this.surround(kind.page(id, setTitle)));
    content.addClass('mw-document');
    const widget = new MainAreaWidget({ content });
    // The toolbar is empty.
    widget.toolbar.hide();
    widget.id = `mlops-workbench-${kind.noun}-${id}`;
    widget.title.label = kind.title(id);
    widget.title.caption = `${kind.noun} ${id}`;
    widget.title.icon = kind.icon;
    widget.title.closable = true;
    return widget;
  }

  private readonly _context: IWorkbenchContext;
  private readonly _commands = new Map<Noun, string>();
}

const ARGS = {
  type: 'object',
  properties: { id: { type: 'string', description: 'Name or id of the object' } },
  required: ['id']
};
