/** What ui.js exports, as far as the page uses it. */

export interface Signal<T> {
  value: T;
  peek(): T;
}
export interface ReadonlySignal<T> {
  readonly value: T;
  peek(): T;
}
export function signal<T>(value: T): Signal<T>;
export function computed<T>(make: () => T): ReadonlySignal<T>;
export function effect(run: () => void | (() => void)): () => void;
export function batch<T>(run: () => T): T;
export function untracked<T>(run: () => T): T;

export interface Tree {
  readonly type: unknown;
}
export function html(parts: TemplateStringsArray, ...values: unknown[]): Tree;
export function render(tree: Tree, place: Element): void;

export function useEffect(run: () => void | undefined | (() => void), changes?: readonly unknown[]): void;
export function useMemo<T>(make: () => T, changes: readonly unknown[]): T;
export function useRef<T>(first?: T): { current: T };
export function useState<T>(first: T): [T, (next: T | ((last: T) => T)) => void];
