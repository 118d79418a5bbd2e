import * as raw from "#host/firewall";
import { asked } from "./errors.js";

export const ban = (ip, forMs, reason) => asked(() => raw.ban(ip, forMs, reason));
