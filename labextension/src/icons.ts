import { LabIcon } from '@jupyterlab/ui-components';

function icon(name: string, body: string): LabIcon {
  const svgstr =
    '<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">' +
    `<g class="jp-icon3" fill="none" stroke="#616161" stroke-width="2" stroke-linecap="round" stroke-linejoin="round">${body}</g></svg>`;
  // JupyterLab fills `jp-icon3` with a colour. These icons are outlines, which another class colours.
  return new LabIcon({
    name: `mlops-workbench:${name}`,
    svgstr: svgstr.replace('class="jp-icon3"', 'class="mw-outline"')
  });
}

/** A line chart within two circular arrows. */
export const workbenchIcon = icon(
  'workbench',
  '<path d="M20.5 12a8.5 8.5 0 0 1-15 5.5"/><path d="M3.5 12a8.5 8.5 0 0 1 15-5.5"/>' +
    '<path d="M18.8 2.6v4.2h-4.2"/><path d="M5.2 21.4v-4.2h4.2"/><path d="M8.6 13.6l2.4-3.2 2 2.4 2.4-3.2"/>'
);

export const runIcon = icon('run', '<path d="M3 12h4l3-8 4 16 3-8h4"/>');

export const modelIcon = icon(
  'model',
  '<path d="M12 2.8l8 4.6v9.2l-8 4.6-8-4.6V7.4z"/><path d="M4 7.4l8 4.6 8-4.6"/><path d="M12 12v9.2"/>'
);

export const endpointIcon = icon(
  'endpoint',
  '<circle cx="12" cy="12" r="3"/><path d="M6.3 17.7a8 8 0 0 1 0-11.4"/><path d="M17.7 6.3a8 8 0 0 1 0 11.4"/>'
);

export const pipelineIcon = icon(
  'pipeline',
  '<circle cx="5" cy="6" r="2.4"/><circle cx="19" cy="12" r="2.4"/><circle cx="5" cy="18" r="2.4"/>' +
    '<path d="M7.4 6h3.2c2 0 2 6 4 6h2"/><path d="M7.4 18h3.2c2 0 2-6 4-6"/>'
);
