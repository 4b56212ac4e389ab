import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { WorkbenchModel } from '../model/workbench';
import type { Noun } from '../tokens';

/** What components need from their surroundings. */
export interface IWorkbenchContext {
  model: WorkbenchModel;
  trans: TranslationBundle;
  open: (noun: Noun, id: string) => void;
  /** Renders code, output and figures; null where the application has none. */
  rendermime: IRenderMimeRegistry | null;
}

const Context = React.createContext<IWorkbenchContext | null>(null);

export const WorkbenchContext = Context.Provider;

export function useWorkbench(): IWorkbenchContext {
  const context = React.useContext(Context);
  if (context === null) {
    throw new Error('a component of the workbench stands outside of its context');
  }
  return context;
}
