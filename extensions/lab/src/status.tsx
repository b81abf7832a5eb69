/** The status bar: device, memory of the active kernel, the training that is going on. A click opens the panel. */
import { ReactWidget } from '@jupyterlab/ui-components';
import React from 'react';

import { networkIcon } from './icon.js';
import { Standing } from './model.js';
import { bytes, progress, seconds } from './words.js';

export class MlkitStatus extends ReactWidget {
  constructor(standing: Standing, open: () => void) {
    super();
    this._props = { standing, open };
    this.addClass('mlkit-Status');
  }

  protected render(): JSX.Element {
    return <Bar {...this._props} />;
  }

  private readonly _props: IProps;
}

interface IProps {
  standing: Standing;
  open: () => void;
}

function Bar({ standing, open }: IProps): JSX.Element {
  const [{ short, long }, setWords] = React.useState(() => words(standing));
  React.useEffect(() => {
    const look = () => {
      const next = words(standing);
      setWords(old => (old.short === next.short && old.long === next.long ? old : next)); // only other words are drawn
    };
    look();
    standing.changed.connect(look);
    return () => {
      standing.changed.disconnect(look);
    };
  }, [standing]);
  return (
    <button type="button" title={`${long}\nOpen mlkit's panel`} aria-label={`mlkit: ${long}`} onClick={open}>
      <networkIcon.react tag="span" className="mlkit-Icon" />
      {short}
    </button>
  );
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
