import { LabIcon } from '@jupyterlab/ui-components';

/** Three layers of a small network. `jp-icon3` gives it the theme's icon colour, light or dark. */
const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24" viewBox="0 0 24 24">
  <g class="jp-icon3" stroke="#616161" stroke-width="1.2" fill="none">
    <path d="M5 7 12 5M5 7 12 12M5 7 12 19M5 17 12 5M5 17 12 12M5 17 12 19M12 5 19 12M12 12 19 12M12 19 19 12"/>
  </g>
  <g class="jp-icon3" fill="#616161">
    <circle cx="5" cy="7" r="2.4"/><circle cx="5" cy="17" r="2.4"/>
    <circle cx="12" cy="5" r="2.4"/><circle cx="12" cy="12" r="2.4"/><circle cx="12" cy="19" r="2.4"/>
    <circle cx="19" cy="12" r="2.4"/>
  </g>
</svg>`;

export const networkIcon = new LabIcon({ name: 'mlkit:network', svgstr: svg });
