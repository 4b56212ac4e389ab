import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { WorkbenchModel } from '../model/workbench';
import type { Noun } from '../tokens';

/** Services that the components use. */
export interface IWorkbenchContext {
  model: WorkbenchModel;
  trans: TranslationBundle;
  open: (noun: Noun, id: string) => void;
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
