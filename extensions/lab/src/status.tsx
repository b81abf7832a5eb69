/** The status bar: device, memory of the active kernel, the training that is going on. A click opens the panel. */
import { ReactWidget } from '@jupyterlab/ui-components';
import React from 'react';

import { networkIcon } from './icon.js';
import { Standing } from './model.js';
import { bytes, progress, seconds } from './words.js';

export class MlkitStatus extends ReactWidget {
  constructor(standing: Standing, open: () => void) {
    super();
    this._standing = standing;
    this._open = open;
    this.addClass('mlkit-Status');
    standing.changed.connect(this.update, this);
  }

  dispose(): void {
    this._standing.changed.disconnect(this.update, this);
    super.dispose();
  }

  protected render(): JSX.Element {
    const { short, long } = words(this._standing);
    return (
      <button type="button" title={`${long}\nOpen mlkit's panel`} aria-label={`mlkit: ${long}`} onClick={this._open}>
        <networkIcon.react tag="span" className="mlkit-Icon" />
        {short}
      </button>
    );
  }

  private readonly _standing: Standing;
  private readonly _open: () => void;
}

/** What stands in the bar, and its whole sentence. */
export function words(standing: Pick<Standing, 'state' | 'training' | 'watch'>): { short: string; long: string } {
  const { state, training, watch } = standing;
  const devices = new Set([
    ...(watch.probe?.tensors ?? []).map(row => row.device),
    ...(watch.probe?.models ?? []).flatMap(row => row.devices)
  ]);
  const device = [...devices].find(name => name.startsWith('cuda')) ?? 'cpu';
  const gpu = state?.gpus.find(one => one.device === device);
  const short: string[] = [device.toUpperCase()];
  const long: string[] = [device.startsWith('cuda') ? `tensors on ${device}` : 'tensors on the CPU'];
  if (watch.kernel && state?.memory) {
    short.push(bytes(state.memory));
    long.push(`kernel uses ${bytes(state.memory)}`);
  }
  if (gpu) {
    short.push(`${bytes(gpu.used)} of ${bytes(gpu.total)}`);
    long.push(`${gpu.name} uses ${bytes(gpu.used)} of ${bytes(gpu.total)}`);
  }
  if (training) {
    const done = progress(training);
    const percent = done === null ? '' : ` ${Math.floor(done * 100)} %`;
    short.push(`${training.name} ${training.state}${percent}`);
    long.push(`${training.name} is ${training.state}${percent}${training.eta !== null ? `, ${seconds(training.eta)} left` : ''}`);
  }
  return { short: short.join(' · '), long: long.join(', ') };
}
