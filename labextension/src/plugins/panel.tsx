import { ILayoutRestorer, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { PanelWithToolbar, refreshIcon, SidePanel } from '@jupyterlab/ui-components';
import { DisposableDelegate, type IDisposable } from '@lumino/disposable';
import type { AccordionPanel } from '@lumino/widgets';
import * as React from 'react';

import { ShownWidget } from '../components/shown';
import { workbenchIcon } from '../icons';
import type { WorkbenchModel } from '../model/workbench';
import { PanelHeader } from '../panel/header';
import {
  CommandIDs,
  type IPanelSection,
  IWorkbenchDocuments,
  IWorkbenchModel,
  IWorkbenchPanel
} from '../tokens';

/** The side panel. */
export const panelPlugin: JupyterFrontEndPlugin<IWorkbenchPanel> = {
  id: 'mlops-workbench:panel',
  description: 'Provides the side panel of the workbench.',
  autoStart: true,
  requires: [IWorkbenchModel, IWorkbenchDocuments],
  optional: [ITranslator, ILayoutRestorer],
  provides: IWorkbenchPanel,
  activate: (
    app,
    model: WorkbenchModel,
    documents: IWorkbenchDocuments,
    translator: ITranslator | null,
    restorer: ILayoutRestorer | null
  ) => {
    const trans = (translator ?? nullTranslator).load('mlops_workbench');
    const widget = new SidePanel({ translator: translator ?? undefined });
    widget.id = 'mlops-workbench-panel';
    widget.title.icon = workbenchIcon;
    widget.title.caption = trans.__('Workbench');
    widget.node.setAttribute('role', 'region');
    widget.node.setAttribute('aria-label', trans.__('Workbench'));
    widget.addClass('mw-panel');

    const header = new ShownWidget(documents.surround(<PanelHeader />));
    header.addClass('mw-panel-top');
    widget.header.addWidget(header);
    app.shell.add(widget, 'left', { rank: 450, type: 'Workbench' });
    restorer?.add(widget, widget.id);

    app.commands.addCommand(CommandIDs.showPanel, {
      label: args => (args.isLauncher ? trans.__('Workbench') : trans.__('Show the Workbench')),
      caption: trans.__('Runs, models, endpoints and pipelines of this workspace'),
      icon: workbenchIcon,
      describedBy: { args: NO_ARGS },
      execute: () => app.shell.activateById(widget.id)
    });
    app.commands.addCommand(CommandIDs.refresh, {
      label: trans.__('Refresh the Workbench'),
      icon: refreshIcon,
      describedBy: { args: NO_ARGS },
      execute: () => model.refresh()
    });
    return new Panel(widget, documents);
  }
};

class Panel implements IWorkbenchPanel {
  constructor(
    readonly widget: SidePanel,
    private readonly _documents: IWorkbenchDocuments
  ) {}

  addSection(section: IPanelSection): IDisposable {
    const place = this._ranks.filter(rank => rank <= section.rank).length;
    const part = new PanelWithToolbar();
    part.id = `mlops-workbench-section-${section.id}`;
    part.title.label = section.label;
    part.addClass('mw-panel-part');
    part.addWidget(new ShownWidget(this._documents.surround(section.body)));
    section.toolbar?.(part.toolbar);
    this.widget.insertWidget(place, part);
    this._ranks.splice(place, 0, section.rank);
    this._sizes.splice(place, 0, section.size);
    (this.widget.content as AccordionPanel).setRelativeSizes(this._sizes);
    return new DisposableDelegate(() => {
      const index = this.widget.widgets.indexOf(part);
      this._ranks.splice(index, 1);
      this._sizes.splice(index, 1);
      part.dispose();
    });
  }

  private readonly _ranks: number[] = [];
  private readonly _sizes: number[] = [];
}

const NO_ARGS = { type: 'object', properties: {} };
