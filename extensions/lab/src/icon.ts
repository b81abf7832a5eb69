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

const small = (name: string, shapes: string): LabIcon =>
  new LabIcon({
    name: `mlkit:${name}`,
    svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 16 16">${shapes}</svg>`
  });

export const pauseIcon = small('pause', '<path class="jp-icon3" fill="#616161" d="M4 3h3v10H4zM9 3h3v10H9z"/>');

export const eyeIcon = small(
  'eye',
  '<g class="jp-icon3" stroke="#616161" style="fill:none" stroke-width="1.4"><path d="M1.5 8C4 4 12 4 14.5 8 12 12 4 12 1.5 8z"/></g>' +
    '<circle class="jp-icon3" fill="#616161" cx="8" cy="8" r="2.2"/>'
);

/** A line of text among others, and an arrow to it. */
export const lineIcon = small(
  'line',
  '<g class="jp-icon3" stroke="#616161" style="fill:none" stroke-width="1.5"><path d="M8 3h6M8 13h6M9.500 8H14M1 8h6M4.500 5.500 7 8l-2.500 2.500"/></g>'
);
