import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { DisposableDelegate, type IDisposable } from '@lumino/disposable';
import * as React from 'react';

import { type IWorkbenchContext, WorkbenchContext } from '../components/context';
import { ShownWidget } from '../components/shown';
import { linkTo } from '../links';
import type { WorkbenchModel } from '../model/workbench';
import { insertCells } from '../notebook/insert';
import { type IDocumentKind, IWorkbenchDocuments, IWorkbenchModel, type Noun } from '../tokens';

/** Opens documents in the main area, and restores them after a reload. */
export const documentsPlugin: JupyterFrontEndPlugin<IWorkbenchDocuments> = {
  id: 'mlops-workbench:documents',
  description: 'Provides the documents of the workbench in the main area.',
  autoStart: true,
  requires: [IWorkbenchModel],
  optional: [ITranslator, ILayoutRestorer, IRenderMimeRegistry, INotebookTracker],
  provides: IWorkbenchDocuments,
  activate: (
    app,
    model: WorkbenchModel,
    translator: ITranslator | null,
    restorer: ILayoutRestorer | null,
    rendermime: IRenderMimeRegistry | null,
    notebooks: INotebookTracker | null
  ) => {
    const trans = (translator ?? nullTranslator).load('mlops_workbench');
    const insert = notebooks && ((cells: string[]) => void insertCells(app, notebooks, cells));
    const notebook = (): string => notebooks?.currentWidget?.context.path ?? 'my-notebook.ipynb';
    return new Documents(app, restorer, { model, trans, rendermime, insert, notebook });
  }
};

class Documents implements IWorkbenchDocuments {
  constructor(
    private readonly _app: JupyterFrontEnd,
    private readonly _restorer: ILayoutRestorer | null,
    context: Omit<IWorkbenchContext, 'open'>
  ) {
    this._context = {
      ...context,
      open: (noun, id, keep = false) => this.open(noun, id, { preview: !keep })
    };
    document.addEventListener('dblclick', event => {
      const tab = (event.target as Element).closest?.('[data-mw-document]');
      if (tab?.getAttribute('data-mw-document') === this._preview?.id) {
        this._keep();
      }
    });
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
        const { id, title, workspace } = args;
        if (typeof id !== 'string' || id === '') {
          return;
        }
        const preview = args.preview === true;
        const open = tracker.find(widget => ids.get(widget) === id);
        const widget = open ?? this._create(kind, id, typeof title === 'string' ? title : '');
        if (!widget.isAttached) {
          const place = preview && this._preview?.isAttached ? this._preview.id : undefined;
          this._app.shell.add(widget, 'main', place ? { ref: place, mode: 'tab-after' } : {});
        }
        if (widget.parent === null) {
          // Notebook 7 shows nothing but the notebook on its page.
          widget.dispose();
          const { baseUrl } = this._app.serviceManager.serverSettings;
          window.open(linkTo(baseUrl, kind.noun, id), '_blank', 'noopener');
          return;
        }
        if (open) {
          if (!preview && open === this._preview) {
            this._keep();
          }
        } else {
          if (preview) {
            this._showPreview(widget);
          }
          ids.set(widget, id);
          void tracker.add(widget);
          widget.title.changed.connect(() => void tracker.save(widget));
          void this._ownWorkspace().then(own => {
            if (typeof workspace === 'string' && own !== '' && workspace !== own) {
              // The layout of the application is that of another folder.
              widget.dispose();
            } else if (!widget.isDisposed) {
              void tracker.save(widget);
            }
          });
        }
        this._app.shell.activateById(widget.id);
        return widget;
      }
    });
    void this._restorer?.restore(tracker, {
      command: kind.command,
      args: widget => ({
        id: ids.get(widget) ?? '',
        title: widget.title.label,
        preview: widget === this._preview,
        ...(this._workspace && { workspace: this._workspace })
      }),
      name: widget => ids.get(widget) ?? ''
    });
    this._commands.set(kind.noun, kind.command);
    return new DisposableDelegate(() => {
      command.dispose();
      tracker.dispose();
      this._commands.delete(kind.noun);
    });
  }

  open(noun: Noun, id: string, { preview = false }: { preview?: boolean } = {}): void {
    const command = this._commands.get(noun);
    // A noun whose plugin is disabled has no document.
    if (command !== undefined) {
      void this._app.commands.execute(command, { id, preview });
    }
  }

  surround(page: React.ReactElement): React.ReactElement {
    return <WorkbenchContext value={this._context}>{page}</WorkbenchContext>;
  }

  private _create(kind: IDocumentKind, id: string, title: string): MainAreaWidget {
    const { trans } = this._context;
    const titled = (name: string): string => trans.__('%1 – %2', name, kind.label);
    const setTitle = (name: string): void => {
      widget.title.label = titled(name);
    };
    const content = new ShownWidget(this.surround(kind.page(id, setTitle)));
    content.addClass('mw-document');
    const widget = new MainAreaWidget({ content });
    // The toolbar is empty.
    widget.toolbar.hide();
    widget.id = `mlops-workbench-${kind.noun}-${id}`;
    widget.title.label = title || titled(kind.title(id));
    widget.title.caption = `${kind.label} ${id}`;
    widget.title.icon = kind.icon;
    widget.title.closable = true;
    widget.title.dataset = { ...widget.title.dataset, 'mw-document': widget.id };
    return widget;
  }

  /** Make a document the preview, in place of the one before. */
  private _showPreview(widget: MainAreaWidget): void {
    const before = this._preview;
    this._preview = widget;
    widget.title.className = PREVIEW;
    before?.dispose();
  }

  /** Keep the preview open. */
  private _keep(): void {
    const kept = this._preview;
    this._preview = null;
    if (kept && !kept.isDisposed) {
      kept.title.className = '';
    }
  }

  /** Folder of the workspace; empty if the server does not tell. */
  private async _ownWorkspace(): Promise<string> {
    this._handshake ??= this._context.model.client.handshake().then(
      ({ workspace }) => workspace,
      () => ''
    );
    this._workspace = await this._handshake;
    return this._workspace;
  }

  private readonly _context: IWorkbenchContext;
  private readonly _commands = new Map<Noun, string>();
  private _preview: MainAreaWidget | null = null;
  private _workspace = '';
  private _handshake: Promise<string> | null = null;
}

/** Class of the tab of a preview. */
const PREVIEW = 'mw-preview';

const ARGS = {
  type: 'object',
  properties: {
    id: { type: 'string', description: 'Name or id of the object' },
    preview: { type: 'boolean', description: 'Whether the next preview takes its place' },
    title: { type: 'string', description: 'Title of the tab until the page is loaded' },
    workspace: { type: 'string', description: 'Folder of the workspace that it belongs to' }
  },
  required: ['id']
};
