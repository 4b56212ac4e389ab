import type { Toolbar } from '@jupyterlab/ui-components';
import type { LabIcon } from '@jupyterlab/ui-components';
import { Token } from '@lumino/coreutils';
import type { IDisposable } from '@lumino/disposable';
import type { Widget } from '@lumino/widgets';
import type * as React from 'react';

import type { Preferences } from './model/preferences';
import type { WorkbenchModel } from './model/workbench';

/** Ids of the commands, for menus, shortcuts and other extensions. */
export namespace CommandIDs {
  export const showPanel = 'mlops-workbench:show-panel';
  export const refresh = 'mlops-workbench:refresh';
  export const openRun = 'mlops-workbench:open-run';
  export const openModel = 'mlops-workbench:open-model';
  export const openEndpoint = 'mlops-workbench:open-endpoint';
  export const openPipeline = 'mlops-workbench:open-pipeline';
  export const runPipeline = 'mlops-workbench:run-pipeline';
  export const openLink = 'mlops-workbench:open-link';
}

export const IWorkbenchPreferences = new Token<Preferences>(
  'mlops-workbench:IWorkbenchPreferences',
  'The choices of the user about the workbench.'
);

export const IWorkbenchModel = new Token<WorkbenchModel>(
  'mlops-workbench:IWorkbenchModel',
  'The workspace: runs, models, endpoints, pipelines, and what changes about them.'
);

/** Nouns that have a document. */
export type Noun = 'run' | 'model' | 'endpoint' | 'pipeline';

/** A kind of document in the main area. */
export interface IDocumentKind {
  noun: Noun;
  /** Command that opens it, with the argument `id`. */
  command: string;
  /** Title of the command. */
  commandLabel: string;
  icon: LabIcon;
  /** Title of the tab. */
  title: (id: string) => string;
  page: (id: string, setTitle: (title: string) => void) => React.ReactElement;
}

/** Documents of the workbench in the main area. */
export interface IWorkbenchDocuments {
  /** Add a kind of document: its command and its place in a restored layout. */
  add(kind: IDocumentKind): IDisposable;
  /** Open the document of a thing, or show the one that is open. */
  open(noun: Noun, id: string): void;
  /** Put a page into a widget, with what its components need around it. */
  surround(page: React.ReactElement): React.ReactElement;
}

export const IWorkbenchDocuments = new Token<IWorkbenchDocuments>(
  'mlops-workbench:IWorkbenchDocuments',
  'Documents of the workbench in the main area.'
);

/** A section of the side panel. */
export interface IPanelSection {
  id: string;
  label: string;
  /** Place among the sections, smallest first. */
  rank: number;
  /** Share of the panel's height that it gets at first, beside the others'. */
  size: number;
  body: React.ReactElement;
  toolbar?: (toolbar: Toolbar) => void;
}

/** The side panel. */
export interface IWorkbenchPanel {
  readonly widget: Widget;
  addSection(section: IPanelSection): IDisposable;
}

export const IWorkbenchPanel = new Token<IWorkbenchPanel>(
  'mlops-workbench:IWorkbenchPanel',
  'The side panel of the workbench, to which sections can be added.'
);
