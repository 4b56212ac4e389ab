import { copyIcon, type LabIcon, refreshIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import type { Problem } from '../api/problem';
import { useWorkbench } from './context';

/** What went wrong, what to do about it, and where. */
export function ProblemText({ problem }: { problem: Problem }): React.ReactElement {
  return (
    <>
      <p className="mw-problem-message">{problem.message}</p>
      {problem.hint && <p className="mw-problem-hint">{problem.hint}</p>}
      {problem.where && <p className="mw-problem-where">{problem.where}</p>}
    </>
  );
}

/** A problem, with a button to try again. */
export function ProblemNotice({
  problem,
  retry
}: {
  problem: Problem;
  retry?: () => void;
}): React.ReactElement {
  const { trans } = useWorkbench();
  return (
    <div className="mw-problem" role="alert">
      <ProblemText problem={problem} />
      {retry && (
        <button type="button" className="mw-link" onClick={retry}>
          <refreshIcon.react tag="span" width="14px" />
          {trans.__('Try again')}
        </button>
      )}
    </div>
  );
}

/** Placeholder for missing content: what is missing, and how to create it. */
export function EmptyState({
  icon,
  title,
  children,
  cells
}: {
  icon: LabIcon;
  title: string;
  children?: React.ReactNode;
  cells?: string[];
}): React.ReactElement {
  return (
    <div className="mw-empty">
      <icon.react tag="div" width="28px" className="mw-empty-icon" />
      <p className="mw-empty-title">{title}</p>
      {children && <p className="mw-empty-text">{children}</p>}
      {cells && <Snippet cells={cells} />}
    </div>
  );
}

/** Code for cells: it can be put into the notebook in front, or copied. */
export function Snippet({ cells }: { cells: string[] }): React.ReactElement {
  const { trans, insert } = useWorkbench();
  const [copied, setCopied] = React.useState(false);
  const copy = (): void => {
    void navigator.clipboard.writeText(cells.join('\n\n')).then(() => setCopied(true));
  };
  const label = copied ? trans.__('Copied') : trans.__('Copy');
  return (
    <div className="mw-snippet">
      <div className="mw-snippet-cells">
        {cells.map((cell, index) => (
          <pre key={index}>{cell}</pre>
        ))}
        <button
          type="button"
          className="mw-icon-button"
          onClick={copy}
          aria-label={label}
          title={label}
        >
          <copyIcon.react tag="span" width="14px" />
        </button>
      </div>
      {insert && (
        <button type="button" className="mw-link" onClick={() => insert(cells)}>
          {trans.__('Insert into notebook')}
        </button>
      )}
      <span className="mw-sr-only" role="status">
        {copied ? trans.__('Copied') : ''}
      </span>
    </div>
  );
}

/** Placeholder while content is loading. */
export function Loading({ lines = 3 }: { lines?: number }): React.ReactElement {
  const { trans } = useWorkbench();
  return (
    <div className="mw-loading" role="status" aria-label={trans.__('Loading')}>
      {Array.from({ length: lines }, (_, index) => (
        <span key={index} style={{ width: `${90 - ((index * 23) % 40)}%` }} />
      ))}
    </div>
  );
}
