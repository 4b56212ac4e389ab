import { MimeModel } from '@jupyterlab/rendermime';
import { MessageLoop } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';
import * as React from 'react';

import { useWorkbench } from './context';

/**
 * Content, rendered by the application's renderer of its media type.
 *
 * The content is not trusted: scripts in the output of a run are not executed.
 */
export function Rendered({
  mediaType,
  data,
  plain
}: {
  mediaType: string;
  data: string;
  /** Shown if no renderer has the media type. */
  plain: string;
}): React.ReactElement {
  const { rendermime } = useWorkbench();
  const host = React.useRef<HTMLDivElement>(null);
  const chosen = rendermime?.preferredMimeType({ [mediaType]: data }, 'ensure');

  // Its end comes before the node leaves the page, as the renderer needs it.
  React.useLayoutEffect(() => {
    const node = host.current;
    if (node === null || rendermime === null || chosen === undefined) {
      return;
    }
    const renderer = rendermime.createRenderer(chosen);
    let content: unknown = data;
    if (/\bjson$/.test(chosen)) {
      content = JSON.parse(data);
    }
    const model = new MimeModel({ data: { [chosen]: content as string }, trusted: false });
    Widget.attach(renderer, node);
    void renderer.renderModel(model);
    const observer =
      typeof ResizeObserver === 'undefined'
        ? null
        : new ResizeObserver(() =>
            MessageLoop.postMessage(renderer, Widget.ResizeMessage.UnknownSize)
          );
    observer?.observe(node);
    return () => {
      observer?.disconnect();
      renderer.dispose();
    };
  }, [rendermime, chosen, data]);

  return chosen === undefined ? (
    <pre className="mw-plain">{plain}</pre>
  ) : (
    <div className="mw-rendered" ref={host} />
  );
}

/** Python source with syntax highlighting. */
export function Source({ code }: { code: string }): React.ReactElement {
  // A fence longer than any in the code, so that the code cannot end it.
  const longest = Math.max(2, ...(code.match(/`+/g) ?? []).map(run => run.length));
  const fence = '`'.repeat(longest + 1);
  return (
    <div className="mw-source">
      <Rendered mediaType="text/markdown" data={`${fence}python\n${code}\n${fence}`} plain={code} />
    </div>
  );
}

/** Text output of a cell. */
export function Output({
  text,
  error = false
}: {
  text: string;
  error?: boolean;
}): React.ReactElement {
  const mediaType = `application/vnd.jupyter.${error ? 'stderr' : 'stdout'}`;
  return (
    <div className={`mw-output${error ? ' mw-output-error' : ''}`}>
      <Rendered mediaType={mediaType} data={text} plain={text} />
    </div>
  );
}
