// What all pages share of the libraries: markup by tagged templates, and Preact's hooks.
import { h, render, createContext, Fragment } from "./vendor/preact.js";
import {
  useCallback, useContext, useEffect, useErrorBoundary, useLayoutEffect, useMemo, useRef, useState,
} from "./vendor/hooks.js";
import htm from "./vendor/htm.js";

export const html = htm.bind(h);
export {
  Fragment, createContext, h, render, useCallback, useContext, useEffect, useErrorBoundary,
  useLayoutEffect, useMemo, useRef, useState,
};
