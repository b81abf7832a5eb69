/** Graphs of mlkit as outputs of cells, and as files `*.mlgraph.json`. */
import { IRenderMime } from '@jupyterlab/rendermime-interfaces';

import { GraphView, MIME } from './graph-view.js';

const extension: IRenderMime.IExtension = {
  id: 'mlkit-lab:graph',
  description: 'Draws application/vnd.mlkit.graph+json: modules that open and close, shapes on the wires.',
  rendererFactory: {
    safe: true, // only text and shapes of our own are drawn
    mimeTypes: [MIME],
    createRenderer: options => new GraphView(options)
  },
  rank: 0,
  dataType: 'json',
  fileTypes: [
    {
      name: 'mlkit-graph',
      displayName: 'mlkit graph',
      fileFormat: 'text',
      extensions: ['.mlgraph.json'],
      mimeTypes: [MIME],
      iconClass: 'jp-MaterialIcon'
    }
  ],
  documentWidgetFactoryOptions: {
    name: 'mlkit graph',
    primaryFileType: 'mlkit-graph',
    fileTypes: ['mlkit-graph'],
    defaultFor: ['mlkit-graph']
  }
};

export default extension;
