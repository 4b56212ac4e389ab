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
  'The settings of the workbench.'
);

export const IWorkbenchModel = new Token<WorkbenchModel>(
  'mlops-workbench:IWorkbenchModel',
  'Runs, models, endpoints and pipelines of the workspace, and their changes.'
);

/** Kinds of objects that have a document. */
export type Noun = 'run' | 'model' | 'endpoint' | 'pipeline';

/** A kind of document in the main area. */
export interface IDocumentKind {
  noun: Noun;
  /** Command that opens it, with the argument `id`. */
  command: string;
  /** Title of the command. */
  commandLabel: string;
  icon: LabIcon;
  /** What it is, for the title of the tab. */
  label: string;
  /** Name of the object in the title of the tab, until its page knows it. */
  title: (id: string) => string;
  page: (id: string, setTitle: (title: string) => void) => React.ReactElement;
}

/** Documents of the workbench in the main area. */
export interface IWorkbenchDocuments {
  /** Add a kind of document: register its command, and restore its documents after a reload. */
  add(kind: IDocumentKind): IDisposable;
  /**
   * Open the document of an object, or activate it if it is open.
   *
   * There is one tab for previews: the next preview takes its place.
   */
  open(noun: Noun, id: string, options?: { preview?: boolean }): void;
  /** Wrap a page in the context that its components use. */
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
  /** Sections are sorted by rank, ascending. */
  rank: number;
  /** Initial height in relation to the other sections. */
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
