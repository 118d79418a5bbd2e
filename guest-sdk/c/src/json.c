/* Reading JSON, and a policy's configuration into its struct. Never writes JSON. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "weir_sdk.h"

#define DEPTH_MAX 64

typedef struct {
  const uint8_t *at, *end;
  void *(*alloc)(size_t);
  int depth;
} reader_t;

static bool value(reader_t *in, weir_json_t *out);

static void space(reader_t *in) {
  while (in->at < in->end && strchr(" \t\r\n", *in->at) && *in->at) in->at++;
}

static bool next(reader_t *in, char wanted) {
  space(in);
  if (in->at == in->end || *in->at != wanted) return false;
  in->at++;
  return true;
}

static bool word(reader_t *in, const char *wanted) {
  size_t len = strlen(wanted);
  if ((size_t)(in->end - in->at) < len || memcmp(in->at, wanted, len) != 0) return false;
  in->at += len;
  return true;
}

static bool hex(reader_t *in, uint32_t *out) {
  *out = 0;
  for (int i = 0; i < 4; i++, in->at++) {
    if (in->at == in->end) return false;
    uint8_t c = *in->at, low = c | 0x20;
    if (c >= '0' && c <= '9') *out = *out * 16 + (c - '0');
    else if (low >= 'a' && low <= 'f') *out = *out * 16 + (low - 'a' + 10);
    else return false;
  }
  return true;
}

static uint8_t *utf8(uint8_t *to, uint32_t c) {
  if (c < 0x80) *to++ = (uint8_t)c;
  else if (c < 0x800) *to++ = 0xc0 | (uint8_t)(c >> 6), *to++ = 0x80 | (c & 0x3f);
  else if (c < 0x10000) *to++ = 0xe0 | (uint8_t)(c >> 12), *to++ = 0x80 | ((c >> 6) & 0x3f), *to++ = 0x80 | (c & 0x3f);
  else *to++ = 0xf0 | (uint8_t)(c >> 18), *to++ = 0x80 | ((c >> 12) & 0x3f), *to++ = 0x80 | ((c >> 6) & 0x3f), *to++ = 0x80 | (c & 0x3f);
  return to;
}

static bool escape(reader_t *in, uint8_t **to) {
  static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
  if (in->at == in->end) return false;
  uint8_t c = *in->at++;
  if (c == 'u') {
    uint32_t high, low;
    if (!hex(in, &high)) return false;
    if (high >= 0xd800 && high < 0xdc00) {
      if (!word(in, "\\u") || !hex(in, &low) || low < 0xdc00 || low > 0xdfff) return false;
      high = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    } else if (high >= 0xdc00 && high < 0xe000) return false;
    *to = utf8(*to, high);
    return true;
  }
  const char *found = c ? strchr(from, c) : NULL;
  if (!found) return false;
  *(*to)++ = (uint8_t)into[found - from];
  return true;
}

static bool text(reader_t *in, weir_string_t *out) {
  if (!next(in, '"')) return false;
  const uint8_t *end = in->at;
  while (end < in->end && *end != '"') end += *end == '\\' ? 2 : 1;
  if (end >= in->end) return false;
  /* No escape is longer than what it is written as. */
  uint8_t *made = in->alloc((size_t)(end - in->at) + 1), *to = made;
  while (*in->at != '"') {
    if (*in->at < 0x20) return false;
    if (*in->at == '\\') {
      in->at++;
      if (!escape(in, &to)) return false;
    } else *to++ = *in->at++;
  }
  in->at++;
  *out = (weir_string_t){made, (size_t)(to - made)};
  return true;
}

static bool number(reader_t *in, weir_json_t *out) {
  char copy[64];
  size_t len = 0;
  while (in->at < in->end && len < sizeof copy - 1 && *in->at && strchr("+-.0123456789eE", *in->at)) copy[len++] = (char)*in->at++;
  copy[len] = 0;
  char *end;
  out->kind = WEIR_JSON_NUMBER, out->number = strtod(copy, &end);
  return len > 0 && *end == 0 && (copy[0] == '-' || (copy[0] >= '0' && copy[0] <= '9'));
}

static bool items(reader_t *in, weir_json_t *out, bool table) {
  size_t room = 0;
  in->at++, out->kind = table ? WEIR_JSON_TABLE : WEIR_JSON_LIST;
  if (next(in, table ? '}' : ']')) return true;
  do {
    if (out->len == room) {
      size_t more = room ? 2 * room : 4;
      weir_json_t *grown = in->alloc(more * sizeof *grown);
      weir_string_t *names = in->alloc(more * sizeof *names);
      if (room) memcpy(grown, out->items, room * sizeof *grown), memcpy(names, out->names, room * sizeof *names);
      out->items = grown, out->names = names, room = more;
    }
    if (table && (!text(in, &out->names[out->len]) || !next(in, ':'))) return false;
    if (!value(in, &out->items[out->len++])) return false;
  } while (next(in, ','));
  return next(in, table ? '}' : ']');
}

static bool value(reader_t *in, weir_json_t *out) {
  space(in);
  if (in->at == in->end || in->depth == DEPTH_MAX) return false;
  in->depth++;
  bool good;
  switch (*in->at) {
    case '{': good = items(in, out, true); break;
    case '[': good = items(in, out, false); break;
    case '"': out->kind = WEIR_JSON_TEXT, good = text(in, &out->text); break;
    case 't': out->kind = WEIR_JSON_BOOL, out->truth = true, good = word(in, "true"); break;
    case 'f': out->kind = WEIR_JSON_BOOL, good = word(in, "false"); break;
    case 'n': out->kind = WEIR_JSON_NULL, good = word(in, "null"); break;
    default: good = number(in, out);
  }
  in->depth--;
  return good;
}

const weir_json_t *weir_json_read(weir_string_t given, void *(*alloc)(size_t)) {
  reader_t in = {given.ptr, given.ptr + given.len, alloc, 0};
  weir_json_t *out = alloc(sizeof *out);
  if (!value(&in, out)) return NULL;
  space(&in);
  return in.at == in.end ? out : NULL;
}

const weir_json_t *weir_json_get(const weir_json_t *table, const char *name) {
  for (size_t i = 0; table && table->kind == WEIR_JSON_TABLE && i < table->len; i++)
    if (weir_is(table->names[i], name)) return &table->items[i];
  return NULL;
}

static void set_texts(const char *name, const weir_json_t *from, weir_strings_t *to, weir_errors_t *errors) {
  if (from->kind != WEIR_JSON_LIST) { weir_error(errors, "%s: must be a list of texts", name); return; }
  *to = (weir_strings_t){weir_keep(from->len * sizeof *to->ptr), 0};
  for (size_t i = 0; i < from->len; i++) {
    if (from->items[i].kind != WEIR_JSON_TEXT) weir_error(errors, "%s[%zu]: must be text", name, i);
    to->ptr[to->len++] = from->items[i].text;
  }
}

static void set_map(const char *name, const weir_json_t *from, weir_pairs_t *to, weir_errors_t *errors) {
  if (from->kind != WEIR_JSON_TABLE) { weir_error(errors, "%s: must be a table of texts", name); return; }
  *to = (weir_pairs_t){weir_keep(from->len * sizeof *to->ptr), 0};
  for (size_t i = 0; i < from->len; i++) {
    if (from->items[i].kind != WEIR_JSON_TEXT) weir_error(errors, "%s.%.*s: must be text", name, WEIR_ARG(from->names[i]));
    to->ptr[to->len++] = (weir_pair_t){from->names[i], from->items[i].text};
  }
}

static void set(const weir_setting_t *setting, const weir_json_t *from, char *to, weir_errors_t *errors) {
  const char *name = setting->name;
  switch (setting->kind) {
    case WEIR_SET_BOOL:
      if (from->kind != WEIR_JSON_BOOL) weir_error(errors, "%s: must be true or false", name);
      *(bool *)to = from->truth;
      break;
    case WEIR_SET_INT:
      if (from->kind != WEIR_JSON_NUMBER || from->number != floor(from->number) || from->number < setting->least || from->number > setting->most)
        weir_error(errors, "%s: must be an integer from %.0f to %.0f", name, setting->least, setting->most);
      else *(int64_t *)to = (int64_t)from->number;
      break;
    case WEIR_SET_NUMBER:
      if (from->kind != WEIR_JSON_NUMBER || from->number < setting->least || from->number > setting->most)
        weir_error(errors, "%s: must be a number from %g to %g", name, setting->least, setting->most);
      *(double *)to = from->number;
      break;
    case WEIR_SET_TEXT:
      if (from->kind != WEIR_JSON_TEXT) weir_error(errors, "%s: must be text", name);
      *(weir_string_t *)to = from->text;
      break;
    case WEIR_SET_TEXTS: set_texts(name, from, (weir_strings_t *)to, errors); break;
    case WEIR_SET_MAP: set_map(name, from, (weir_pairs_t *)to, errors); break;
    case WEIR_SET_END: break;
  }
}

void weir_config_read(weir_string_t json, const weir_setting_t *settings, void *config, weir_errors_t *errors) {
  const weir_json_t *table = weir_json_read(json.len ? json : weir_text("{}"), weir_keep);
  if (!table || table->kind != WEIR_JSON_TABLE) { weir_error(errors, "the configuration: must be a JSON object"); return; }
  for (size_t i = 0; i < table->len; i++) {
    const weir_setting_t *setting = settings;
    while (setting->name && !weir_is(table->names[i], setting->name)) setting++;
    if (setting->name) { set(setting, &table->items[i], (char *)config + setting->offset, errors); continue; }
    weir_string_t known = {0};
    for (setting = settings; setting->name; setting++) known = weir_format("%.*s%s%s", WEIR_ARG(known), known.len ? ", " : "", setting->name);
    weir_error(errors, "%.*s: no such setting; there are: %.*s", WEIR_ARG(table->names[i]), WEIR_ARG(known));
  }
}
