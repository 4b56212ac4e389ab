import type { LabIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import type { Problem } from '../api/problem';
import { formatNumber } from '../format/numbers';
import { Loading, ProblemNotice } from './notices';

/** Page of a run, model, endpoint or pipeline: a header with actions, and sections. */
export function Page({
  icon,
  kind,
  title,
  badge,
  facts,
  actions,
  problem,
  retry,
  children
}: {
  icon: LabIcon;
  kind: string;
  title: string;
  badge?: React.ReactNode;
  facts?: React.ReactNode[];
  actions?: React.ReactNode;
  problem?: Problem | null;
  retry?: () => void;
  children: React.ReactNode;
}): React.ReactElement {
  return (
    <article className="mw-page" aria-label={`${kind} ${title}`}>
      <header className="mw-page-header">
        <div className="mw-page-kind">
          <icon.react tag="span" width="14px" />
          {kind}
        </div>
        <div className="mw-page-title">
          <h1>{title}</h1>
          {badge}
          <div className="mw-page-actions">{actions}</div>
        </div>
        {facts && (
          <ul className="mw-page-facts">
            {facts.filter(Boolean).map((fact, index) => (
              <li key={index}>{fact}</li>
            ))}
          </ul>
        )}
      </header>
      {problem && <ProblemNotice problem={problem} retry={retry} />}
      {children}
    </article>
  );
}

/** Page before its content is loaded, or if it cannot be loaded. */
export function PagePlaceholder({
  problem,
  retry
}: {
  problem: Problem | null;
  retry: () => void;
}): React.ReactElement {
  return (
    <article className="mw-page">
      {problem ? <ProblemNotice problem={problem} retry={retry} /> : <Loading lines={6} />}
    </article>
  );
}

/** Section of a page with a heading. */
export function Section({
  title,
  count,
  aside,
  children
}: {
  title: string;
  count?: number;
  aside?: React.ReactNode;
  children: React.ReactNode;
}): React.ReactElement {
  return (
    <section className="mw-section" aria-label={title}>
      <div className="mw-section-head">
        <h2>{title}</h2>
        {count !== undefined && <span className="mw-section-count">{formatNumber(count)}</span>}
        {aside && <div className="mw-section-aside">{aside}</div>}
      </div>
      {children}
    </section>
  );
}

/** A value in large type with its label. */
export function Tile({
  label,
  value,
  note
}: {
  label: string;
  value: React.ReactNode;
  note?: React.ReactNode;
}): React.ReactElement {
  return (
    <div className="mw-tile">
      <div className="mw-tile-label">{label}</div>
      <div className="mw-tile-value">{value}</div>
      {note && <div className="mw-tile-note">{note}</div>}
    </div>
  );
}

/** Button of a page. */
export function Action({
  label,
  onClick,
  primary = false,
  danger = false,
  disabled = false
}: {
  label: string;
  onClick: () => void;
  primary?: boolean;
  danger?: boolean;
  disabled?: boolean;
}): React.ReactElement {
  const look = primary ? ' mw-action-primary' : danger ? ' mw-action-danger' : '';
  return (
    <button type="button" className={`mw-action${look}`} onClick={onClick} disabled={disabled}>
      {label}
    </button>
  );
}
