import { downloadIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { Problem } from '../api/problem';
import type { RunArtifact } from '../api/types';
import { formatBytes } from '../format/numbers';
import { useWorkbench } from './context';
import { Loading, ProblemNotice } from './notices';
import { Rendered } from './rendered';
import { Table } from './table';

const PLOTLY = 'application/vnd.plotly.v1+json';

/** Artifacts that are shown as figures. A figure that is stored as JSON and as HTML is listed once, as JSON. */
export function figuresOf(artifacts: RunArtifact[]): RunArtifact[] {
  const data = new Set(artifacts.filter(item => item.media_type === PLOTLY).map(stem));
  return artifacts.filter(artifact => {
    const type = artifact.media_type;
    const page = type === 'text/html' && artifact.kind === 'figure' && !data.has(stem(artifact));
    return type.startsWith('image/') || type === PLOTLY || page;
  });
}

function stem(artifact: RunArtifact): string {
  return artifact.path.replace(/(\.plotly)?\.[^./]+$/, '');
}

/** A figure of a run with its name. */
export function Figure({
  uid,
  artifact
}: {
  uid: string;
  artifact: RunArtifact;
}): React.ReactElement {
  const { trans } = useWorkbench();
  const name = artifact.path.split('/').pop() ?? artifact.path;
  const { content, problem } = useContent(uid, artifact);
  return (
    <figure className="mw-figure">
      <div className="mw-figure-body">
        {problem && <ProblemNotice problem={problem} />}
        {content === null && !problem && <Loading lines={1} />}
        {content?.kind === 'image' && <img src={content.url} alt={name} />}
        {content?.kind === 'page' && (
          // Scripts in the frame have no origin: they cannot read cookies or call the Jupyter server.
          <iframe src={content.url} title={name} sandbox="allow-scripts" />
        )}
        {content?.kind === 'text' && (
          <Rendered
            mediaType={artifact.media_type}
            data={content.text}
            plain={trans.__('plotly figure')}
          />
        )}
      </div>
      <figcaption>
        <span title={artifact.path}>{name}</span>
        <Download uid={uid} artifact={artifact} />
      </figcaption>
    </figure>
  );
}

/** Table of files of a run. */
export function ArtifactTable({
  uid,
  artifacts
}: {
  uid: string;
  artifacts: RunArtifact[];
}): React.ReactElement {
  const { trans } = useWorkbench();
  return (
    <Table
      label={trans.__('Files')}
      rows={artifacts}
      rowKey={artifact => artifact.path}
      columns={[
        { key: 'path', label: trans.__('Path'), cell: artifact => artifact.path },
        { key: 'kind', label: trans.__('Kind'), cell: artifact => artifact.kind },
        { key: 'type', label: trans.__('Type'), cell: artifact => artifact.media_type, grow: true },
        {
          key: 'size',
          label: trans.__('Size'),
          numeric: true,
          cell: artifact => formatBytes(artifact.size)
        },
        {
          key: 'download',
          label: <span className="mw-sr-only">{trans.__('Download')}</span>,
          cell: artifact => <Download uid={uid} artifact={artifact} />
        }
      ]}
    />
  );
}

function Download({ uid, artifact }: { uid: string; artifact: RunArtifact }): React.ReactElement {
  const { model, trans } = useWorkbench();
  const label = trans.__('Download %1', artifact.path);
  const download = async (): Promise<void> => {
    const url = URL.createObjectURL(await model.client.artifact(uid, artifact.path));
    const anchor = document.createElement('a');
    anchor.href = url;
    anchor.download = artifact.path.split('/').pop() ?? 'artifact';
    anchor.click();
    URL.revokeObjectURL(url);
  };
  return (
    <button
      type="button"
      className="mw-icon-button"
      onClick={() => void download()}
      aria-label={label}
      title={label}
    >
      <downloadIcon.react tag="span" width="14px" />
    </button>
  );
}

type Content = { kind: 'image' | 'page'; url: string } | { kind: 'text'; text: string };

function useContent(
  uid: string,
  artifact: RunArtifact
): { content: Content | null; problem: Problem | null } {
  const { model } = useWorkbench();
  const [content, setContent] = React.useState<Content | null>(null);
  const [problem, setProblem] = React.useState<Problem | null>(null);
  const { path, digest, media_type: mediaType } = artifact;
  React.useEffect(() => {
    let url: string | null = null;
    let gone = false;
    const load = async (): Promise<void> => {
      const blob = await model.client.artifact(uid, path);
      const text = mediaType === PLOTLY ? await blob.text() : null;
      if (gone) {
        return;
      }
      if (text !== null) {
        setContent({ kind: 'text', text });
        return;
      }
      url = URL.createObjectURL(blob);
      setContent({ kind: mediaType === 'text/html' ? 'page' : 'image', url });
    };
    load().catch(reason => {
      if (!gone) {
        setProblem(Problem.from(reason));
      }
    });
    return () => {
      gone = true;
      if (url !== null) {
        URL.revokeObjectURL(url);
      }
    };
    // New content has another digest.
  }, [model, uid, path, digest, mediaType]);
  return { content, problem };
}
