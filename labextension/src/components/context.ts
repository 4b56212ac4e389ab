import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { WorkbenchModel } from '../model/workbench';
import type { Noun } from '../tokens';

/** Services that the components use. */
export interface IWorkbenchContext {
  model: WorkbenchModel;
  trans: TranslationBundle;
  /** Opens a document: in the tab for previews, unless it is to be kept open. */
  open: (noun: Noun, id: string, keep?: boolean) => void;
  /** Puts code into cells of the notebook in front; null if the application has no notebooks. */
  insert: ((cells: string[]) => void) | null;
  /** Path of the notebook in front, or of an example. */
  notebook: () => string;
  /** Renders code, output and figures; null if the application has no renderers. */
  rendermime: IRenderMimeRegistry | null;
}

const Context = React.createContext<IWorkbenchContext | null>(null);

export const WorkbenchContext = Context.Provider;

export function useWorkbench(): IWorkbenchContext {
  const context = React.useContext(Context);
  if (context === null) {
    throw new Error('a component of the workbench is used outside of WorkbenchContext');
  }
  return context;
}
