/** Where the view looks: fitting, zooming about a point, holding an item in place while others move, gliding. */
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import type { Picture, Placed, Wire } from "../../shared/layout";

export interface Camera {
  x: number;
  y: number;
  scale: number;
}

export interface StageApi {
  host: React.RefObject<HTMLDivElement | null>;
  camera: Camera;
  /** The picture as it is drawn now: between two layouts while things move. */
  drawn: Picture;
  moving: boolean;
  size: { width: number; height: number };
  setCamera(next: Camera): void;
  fit(): void;
  fitNext(): void;
  zoom(factor: number, at?: [number, number]): void;
  pan(dx: number, dy: number): void;
  hold(id: string): void;
  center(id: string): void;
  bringIn(id: string): void;
}

const GLIDE = 240;
/** More boxes than this jump: moving them all takes longer than the movement. */
const MOST_MOVING = 700;
export const LEAST = 0.02;
export const MOST = 4;

export const still = (): boolean =>
  typeof matchMedia === "function" && matchMedia("(prefers-reduced-motion: reduce)").matches;

const clamp = (scale: number) => Math.min(MOST, Math.max(LEAST, scale));
const mix = (a: number, b: number, t: number) => a + (b - a) * t;
const ease = (t: number) => 1 - (1 - t) ** 3;

/** The picture on the way from one layout to the next: what is in both moves, what is new appears where it belongs. */
export function between(from: ReadonlyMap<string, Placed>, to: Picture, t: number): Picture {
  const items = to.items.map((item) => {
    const old = from.get(item.id);
    return old
      ? {
          ...item,
          x: mix(old.x, item.x, t),
          y: mix(old.y, item.y, t),
          width: mix(old.width, item.width, t),
          height: mix(old.height, item.height, t),
        }
      : item;
  });
  return { ...to, items, wires: t < 1 ? ([] as Wire[]) : to.wires };
}

/** The camera that shows everything. */
export function whole(picture: Picture, size: { width: number; height: number }): Camera {
  const scale = clamp(Math.min(1, (size.width - 32) / picture.width, (size.height - 32) / picture.height));
  return { scale, x: (size.width - picture.width * scale) / 2, y: (size.height - picture.height * scale) / 2 };
}

export function useStage(picture: Picture, selected: string): StageApi {
  const host = useRef<HTMLDivElement>(null);
  const [camera, setCameraState] = useState<Camera>({ x: 0, y: 0, scale: 1 });
  const [size, setSize] = useState({ width: 0, height: 0 });
  const [drawn, setDrawn] = useState(picture);
  const [moving, setMoving] = useState(false);
  const latest = useRef({ picture, camera, drawn });
  const frame = useRef(0);
  const touched = useRef(false);
  const wish = useRef<{ fit?: boolean; center?: string; hold?: { id: string; x: number; y: number } }>({ fit: true });
  latest.current.camera = camera;
  latest.current.drawn = drawn;

  const setCamera = useCallback((next: Camera) => {
    cancelAnimationFrame(frame.current);
    touched.current = true;
    latest.current.camera = next;
    setCameraState(next);
  }, []);

  /** Bring camera and boxes to where they shall be, gliding where motion is welcome. */
  const glide = useCallback((camera: Camera, next: Picture) => {
    cancelAnimationFrame(frame.current);
    const from = latest.current.camera;
    const before = latest.current.drawn;
    latest.current.picture = next;
    const settle = () => {
      latest.current.camera = camera;
      setCameraState(camera);
      setDrawn(next);
      setMoving(false);
    };
    const nothing = before === next && from.x === camera.x && from.y === camera.y && from.scale === camera.scale;
    if (nothing || still() || next.items.length > MOST_MOVING || !host.current?.clientWidth) return settle();
    const places = new Map(before.items.map((item) => [item.id, item]));
    const begin = performance.now();
    setMoving(before !== next);
    const turn = (now: number) => {
      const t = Math.min(1, Math.max(0, (now - begin) / GLIDE));
      if (t >= 1) return settle();
      const e = ease(t);
      setCameraState({
        x: mix(from.x, camera.x, e),
        y: mix(from.y, camera.y, e),
        scale: mix(from.scale, camera.scale, e),
      });
      if (before !== next) setDrawn(between(places, next, e));
      frame.current = requestAnimationFrame(turn);
    };
    frame.current = requestAnimationFrame(turn);
  }, []);

  const room = useCallback(() => {
    const element = host.current;
    return element?.clientWidth ? { width: element.clientWidth, height: element.clientHeight } : null;
  }, []);

  const fit = useCallback(() => {
    const size = room();
    if (!size || !latest.current.picture.width) return;
    touched.current = false;
    glide(whole(latest.current.picture, size), latest.current.picture);
  }, [glide, room]);

  const zoom = useCallback(
    (factor: number, at?: [number, number]) => {
      const now = latest.current.camera;
      const size = room() ?? { width: 0, height: 0 };
      const [cx, cy] = at ?? [size.width / 2, size.height / 2];
      const scale = clamp(now.scale * factor);
      const ratio = scale / now.scale;
      setCamera({ scale, x: cx - (cx - now.x) * ratio, y: cy - (cy - now.y) * ratio });
    },
    [room, setCamera],
  );

  // After each layout: what was asked for before it, or else keep what is there in place.
  // biome-ignore lint/correctness/useExhaustiveDependencies: runs for each new picture and selection
  useLayoutEffect(() => {
    const { fit: all, center, hold } = wish.current;
    const size = room();
    const now = latest.current.camera;
    if (all) {
      latest.current.picture = picture;
      if (!size) {
        setDrawn(picture);
        return; // not in the page yet: the observer below fits it
      }
      wish.current = {};
      touched.current = false;
      return glide(whole(picture, size), picture);
    }
    wish.current = {};
    const target = picture.items.find((item) => item.id === (center ?? hold?.id));
    if (target) touched.current = true;
    if (target && hold) {
      return glide({ ...now, x: hold.x - target.x * now.scale, y: hold.y - target.y * now.scale }, picture);
    }
    if (target && size) {
      const scale = Math.max(now.scale, Math.min(0.9, (size.width - 40) / target.width));
      return glide(
        {
          scale,
          x: size.width / 2 - (target.x + target.width / 2) * scale,
          y: size.height / 2 - (target.y + Math.min(target.height, 80) / 2) * scale,
        },
        picture,
      );
    }
    if (picture !== latest.current.picture) glide(now, picture);
  }, [picture, selected]);

  useEffect(() => {
    const element = host.current!;
    let before = 0;
    const observer = new ResizeObserver(() => {
      const { clientWidth: width, clientHeight: height } = element;
      setSize({ width, height });
      // Shown for the first time, or made wider or narrower by the page while nobody has moved the view.
      if (width && (!before || (width !== before && !touched.current) || wish.current.fit)) {
        const { picture } = latest.current;
        const next = whole(picture, { width, height });
        latest.current.camera = next;
        setCameraState(next);
        wish.current.fit = false;
      }
      before = width;
    });
    observer.observe(element);
    const wheel = (event: WheelEvent) => {
      // The plain wheel scrolls the notebook; with Ctrl or Cmd, or a pinch, it zooms.
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const box = element.getBoundingClientRect();
      zoom(Math.exp(-event.deltaY * 0.002), [event.clientX - box.left, event.clientY - box.top]);
    };
    element.addEventListener("wheel", wheel, { passive: false });
    return () => {
      cancelAnimationFrame(frame.current);
      observer.disconnect();
      element.removeEventListener("wheel", wheel);
    };
  }, [zoom]);

  const pan = useCallback(
    (dx: number, dy: number) => {
      const now = latest.current.camera;
      setCamera({ ...now, x: now.x + dx, y: now.y + dy });
    },
    [setCamera],
  );

  const hold = useCallback((id: string) => {
    const { drawn: now, camera: c } = latest.current;
    const item = now.items.find((other) => other.id === id);
    if (item) wish.current = { hold: { id, x: c.x + item.x * c.scale, y: c.y + item.y * c.scale } };
  }, []);

  /** Move the camera just enough that an item is in sight. */
  const bringIn = useCallback(
    (id: string) => {
      const item = latest.current.picture.items.find((other) => other.id === id);
      const size = room();
      if (!item || !size) return;
      const { camera: now } = latest.current;
      const slack = (low: number, length: number, space: number) =>
        low < 12
          ? 12 - low
          : low + Math.min(length, space - 24) > space - 12
            ? space - 12 - low - Math.min(length, space - 24)
            : 0;
      const dx = slack(now.x + item.x * now.scale, item.width * now.scale, size.width);
      const dy = slack(now.y + item.y * now.scale, item.height * now.scale, size.height);
      if (dx || dy) setCamera({ ...now, x: now.x + dx, y: now.y + dy });
    },
    [room, setCamera],
  );

  return useMemo(
    () => ({
      host,
      camera,
      drawn,
      moving,
      size,
      setCamera,
      fit,
      zoom,
      pan,
      hold,
      bringIn,
      fitNext: () => {
        wish.current = { fit: true };
      },
      center: (id: string) => {
        wish.current = { center: id };
      },
    }),
    [camera, drawn, moving, size, setCamera, fit, zoom, pan, hold, bringIn],
  );
}
