// Who is logged in, and what that lets them do.
import { createContext, useContext } from "./lib.js";

export const Me = createContext(null);

/** Whether somebody with these tags may do what a tag is asked for; administrators may all. */
export const may = (me, tag) => !tag
  || (me?.tags || []).some((one) => one === "administrator" || tag.split(" ").includes(one));

/** Whether a queue or an exchange may be configured, written or read by whoever is logged in. */
export const can = (row, right) => row?.rights?.includes(right) !== false;

/** Vhosts in which whoever is logged in may configure, write or read something; null: not known yet. */
export const within = (vhosts, right) => vhosts && vhosts.filter((one) => can(one, right)).map((one) => one.name);

/** `(tag) => may`: buttons that would be refused are not shown. */
export function useMay() {
  const me = useContext(Me);
  return (tag) => may(me, tag);
}
