/** Asking mlkit's part of the Jupyter server: runs and memory, without any kernel. */
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

export interface IRun {
  id: string;
  title: string;
  name: string;
  folder: string;
  created: string;
  model: string;
  device: string;
  state: string;
  alive: boolean;
  reachable: boolean;
  reason: string;
  error: string | null;
  step: number | null;
  steps: number | null;
  epoch: number | null;
  epochs: number | null;
  eta: number | null;
  updated: number | null;
  series: Record<string, [number[], (number | null)[]]>;
  last: Record<string, number | null>;
}

export interface IGpu {
  device: string;
  name: string;
  used: number;
  total: number;
}

export interface IServerState {
  runs: IRun[];
  total: number;
  folders: string[];
  root: string;
  memory: number | null;
  gpus: IGpu[];
}

/** The server answered with something else than what was asked for; the message is for people. */
export class ServerProblem extends Error {
  constructor(
    message: string,
    /** The server has no mlkit: asking again before JupyterLab is restarted is of no use. */
    readonly lasting = false
  ) {
    super(message);
  }
}

async function request(
  settings: ServerConnection.ISettings,
  path: string,
  init: RequestInit = {}
): Promise<Response> {
  let response: Response;
  try {
    response = await ServerConnection.makeRequest(URLExt.join(settings.baseUrl, 'mlkit', path), init, settings);
  } catch {
    throw new ServerProblem('The Jupyter server does not answer.');
  }
  if (response.ok) {
    return response;
  }
  const words = await response
    .clone()
    .json()
    .then(body => (typeof body?.message === 'string' ? body.message : ''))
    .catch(() => '');
  if (response.status === 404 && !words.includes('run')) {
    throw new ServerProblem(
      'The Jupyter server has no mlkit. Install it where JupyterLab is installed (pip install "mlkit[lab]"), then restart JupyterLab.',
      true
    );
  }
  throw new ServerProblem(words || `The Jupyter server answered ${response.status} ${response.statusText}.`);
}

/** The state as the server wrote it: the same text again needs no reading. */
export async function fetchState(
  settings: ServerConnection.ISettings,
  folders: readonly string[],
  kernel: string | null
): Promise<string> {
  const query = new URLSearchParams(folders.map(folder => ['folder', folder]));
  if (kernel) {
    query.append('kernel', kernel);
  }
  const response = await request(settings, `state?${query}`);
  return response.text();
}

/** `next`, in which every run that says the same as before is the very object it was: what is drawn from it stays. */
export function renewed(next: IServerState, before: IServerState | null): IServerState {
  const known = new Map((before?.runs ?? []).map(run => [run.id, run]));
  const runs = next.runs.map(run => {
    const old = known.get(run.id);
    return old && JSON.stringify(old) === JSON.stringify(run) ? old : run;
  });
  return { ...next, runs };
}

export async function sendCommand(
  settings: ServerConnection.ISettings,
  run: string,
  command: string,
  folders: readonly string[]
): Promise<void> {
  await request(settings, 'send', { method: 'POST', body: JSON.stringify({ run, command, folders }) });
}
