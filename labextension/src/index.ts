import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { documentsPlugin } from './plugins/documents';
import { endpointsPlugin } from './plugins/endpoints';
import { handshakePlugin } from './plugins/handshake';
import { launcherPlugin } from './plugins/launcher';
import { linksPlugin } from './plugins/links';
import { modelPlugin } from './plugins/model';
import { modelsPlugin } from './plugins/models';
import { palettePlugin } from './plugins/palette';
import { panelPlugin } from './plugins/panel';
import { pipelinesPlugin } from './plugins/pipelines';
import { runsPlugin } from './plugins/runs';
import { settingsPlugin } from './plugins/settings';

export * from './tokens';

const plugins: JupyterFrontEndPlugin<unknown>[] = [
  settingsPlugin,
  modelPlugin,
  documentsPlugin,
  panelPlugin,
  runsPlugin,
  modelsPlugin,
  endpointsPlugin,
  pipelinesPlugin,
  launcherPlugin,
  linksPlugin,
  palettePlugin,
  handshakePlugin
];

export default plugins;
