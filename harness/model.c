#include "harness/model.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/paths.h"
#include "kernels/pointwise/pointwise.h"

enum { LINE_LEN = 2048, MAX_WORDS = 32, MAX_LAYERS = 1000, MAX_STATEMENTS = 8000 };

static const char *const PHASES[] = {"prefill", "decode", "forward"};

const char *phase_name(phase_t phase) {
    return PHASES[phase];
}

typedef struct {
    model_t *model;
    const char *path;
    int line;
    bool based;      /* reading the file that `base` names */
    char base[1024]; /* "" if there is none */
    bool in_block;
    int64_t repeats;
    int block_start; /* first statement of the open block */
    int layer;       /* the next one */
} parser_t;

__attribute__((format(printf, 2, 3))) static status_t bad(const parser_t *p, const char *format,
                                                          ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return fail(STATUS_USAGE, "%s:%d: %s", p->path, p->line, text);
}

/* Appends a copy of an item; room doubles at powers of two. */
static status_t append(void **items, int *len, size_t size, const void *item) {
    if ((*len & (*len - 1)) == 0) {
        void *grown = realloc(*items, (*len ? 2 * (size_t)*len : 1) * size);
        if (!grown) return fail(STATUS_OOM, "out of host memory for a model description");
        *items = grown;
    }
    memcpy((char *)*items + (size_t)(*len)++ * size, item, size);
    return STATUS_OK;
}
#define APPEND(items, len, item) append((void **)&(items), &(len), sizeof *(items), (item))

static bool copy_name(char *dst, size_t len, const char *text) {
    return (size_t)snprintf(dst, len, "%s", text) < len && *text;
}

/* ---- numbers ---- */

static const model_size_t *find_size(const model_t *m, const char *name) {
    for (int i = 0; i < m->sizes_len; i++)
        if (!strcmp(m->sizes[i].name, name)) return &m->sizes[i];
    return NULL;
}

/* A number or a size at *text, which is moved behind it. */
static status_t factor_value(const model_t *m, const char *whole, const char **text, double *out) {
    char name[NAME_LEN], *end;
    *out = 0;
    if (isdigit((unsigned char)**text)) {
        *out = strtod(*text, &end);
        *text = end;
        return STATUS_OK;
    }
    const size_t len = strcspn(*text, "+*/");
    snprintf(name, sizeof name, "%.*s", (int)(len < sizeof name ? len : sizeof name - 1), *text);
    const model_size_t *size = find_size(m, name);
    if (!size) return fail(STATUS_USAGE, "'%s' in '%s' is no number and no size", name, whole);
    *out = (double)size->value;
    *text += len;
    return STATUS_OK;
}

static status_t product_value(const model_t *m, const char *whole, const char **text, double *out) {
    status_t st = factor_value(m, whole, text, out);
    while (st == STATUS_OK && (**text == '*' || **text == '/')) {
        const bool divide = *(*text)++ == '/';
        double value = 0;
        st = factor_value(m, whole, text, &value);
        if (st != STATUS_OK) return st;
        if (divide && (value == 0 || fmod(*out, value) != 0))
            return fail(STATUS_USAGE, "'%s': %g is not a whole number of times %g", whole, *out,
                        value);
        *out = divide ? *out / value : *out * value;
    }
    return st;
}

status_t model_value(const model_t *m, const char *text, double *out) {
    const char *at = text;
    double value = 0;
    status_t st = product_value(m, text, &at, out);
    while (st == STATUS_OK && *at == '+') {
        at++;
        st = product_value(m, text, &at, &value);
        *out += value;
    }
    if (st == STATUS_OK && *at)
        return fail(STATUS_USAGE, "'%s': expected + * or / at '%s'", text, at);
    return st;
}

/* A whole number of 1 or more. */
static status_t whole_value(const parser_t *p, const char *text, double most, int64_t *out) {
    double value = 0;
    const status_t st = model_value(p->model, text, &value);
    if (st != STATUS_OK) return bad(p, "%s", last_error());
    if (!(value >= 1 && value <= most) || value != floor(value))
        return bad(p, "'%s' is %g: expected a whole number from 1 to %g", text, value, most);
    *out = (int64_t)value;
    return STATUS_OK;
}

static const double MOST = 1099511627776.0; /* 2^40 */

/* ---- lines that are no operators ---- */

static status_t phases_line(parser_t *p, char **words, int count) {
    unsigned phases = 0;
    for (int i = 1; i < count; i++) {
        int phase = 0;
        while (phase < PHASE_COUNT && strcmp(words[i], PHASES[phase])) phase++;
        if (phase == PHASE_COUNT)
            return bad(p, "no phase '%s': prefill, decode or forward", words[i]);
        phases |= 1u << phase;
    }
    if (p->model->phases == 0) p->model->phases = phases;
    return count > 1 ? STATUS_OK : bad(p, "phases needs prefill, decode or forward");
}

static status_t tokens_line(parser_t *p, char **words, int count) {
    if (count != 2) return bad(p, "expected: tokens NUMBER");
    int64_t tokens = 0;
    const status_t st = whole_value(p, words[1], MOST, &tokens);
    if (st == STATUS_OK && p->model->tokens == 0) p->model->tokens = tokens;
    return st;
}

static status_t size_line(parser_t *p, char **words, int count) {
    model_size_t size;
    if (count != 3 || !copy_name(size.name, sizeof size.name, words[1]) ||
        !isalpha((unsigned char)*words[1]) || strpbrk(words[1], "+*/"))
        return bad(p, "expected: size NAME NUMBER");
    if (find_size(p->model, size.name)) return STATUS_OK; /* what is said first counts */
    const status_t st = whole_value(p, words[2], MOST, &size.value);
    return st == STATUS_OK ? APPEND(p->model->sizes, p->model->sizes_len, &size) : st;
}

static status_t factor_line(parser_t *p, char **words, int count) {
    if (count < 4 || count % 2)
        return bad(p,
                   "expected: factor GROUP STRUCTURE RANK[/BLOCKS] [STRUCTURE RANK[/BLOCKS]]...");
    for (int i = 2; i < count; i += 2) {
        model_factor_t factor = {.blocks = 1};
        if (!copy_name(factor.group, sizeof factor.group, words[1]) ||
            !copy_name(factor.structure, sizeof factor.structure, words[i]))
            return bad(p, "overlong name");
        char *slash = strchr(words[i + 1], '/');
        status_t st = STATUS_OK;
        if (slash) {
            *slash = '\0';
            st = whole_value(p, slash + 1, MOST, &factor.blocks);
        }
        if (st == STATUS_OK) st = whole_value(p, words[i + 1], MOST, &factor.rank);
        if (st != STATUS_OK) return st;
        if (model_factor(p->model, factor.group, factor.structure)) continue;
        st = APPEND(p->model->factors, p->model->factors_len, &factor);
        if (st != STATUS_OK) return st;
    }
    return STATUS_OK;
}

static status_t use_line(parser_t *p, char **words, int count) {
    model_use_t use = {.first = 0, .last = INT_MAX};
    char extra;
    if (count != 3 && count != 4)
        return bad(p, "expected: use LABEL STRUCTURE[/VARIANT] [FIRST..LAST]");
    char *slash = strchr(words[2], '/');
    if (slash) *slash = '\0';
    if (!copy_name(use.label, sizeof use.label, words[1]) ||
        !copy_name(use.structure, sizeof use.structure, words[2]) ||
        (slash && !copy_name(use.variant, sizeof use.variant, slash + 1)))
        return bad(p, "empty or overlong name");
    if (count == 4 && (sscanf(words[3], "%d..%d%c", &use.first, &use.last, &extra) != 2 ||
                       use.first < 0 || use.last < use.first))
        return bad(p, "'%s' is no range of layers: expected FIRST..LAST, from 0", words[3]);
    return APPEND(p->model->uses, p->model->uses_len, &use);
}

static status_t input_line(parser_t *p, char **words, int count) {
    model_input_t input = {.width = 1};
    if (count != 4 || !copy_name(input.name, sizeof input.name, words[1]) ||
        (strcmp(words[2], "token") && strcmp(words[2], "sequence")))
        return bad(p, "expected: input NAME token|sequence below=NUMBER|width=NUMBER");
    input.per_token = !strcmp(words[2], "token");
    status_t st;
    if (!strncmp(words[3], "below=", 6))
        st = whole_value(p, words[3] + 6, INT32_MAX, &input.below);
    else if (!strncmp(words[3], "width=", 6))
        st = whole_value(p, words[3] + 6, MOST, &input.width);
    else
        return bad(p, "input %s needs below= (whole numbers) or width= (reals)", input.name);
    return st == STATUS_OK ? APPEND(p->model->inputs, p->model->inputs_len, &input) : st;
}

static status_t output_line(parser_t *p, char **words, int count) {
    if (count != 2 || !copy_name(p->model->output, NAME_LEN, words[1]))
        return bad(p, "expected: output BUFFER");
    return STATUS_OK;
}

static status_t base_line(parser_t *p, char **words, int count) {
    if (count != 2) return bad(p, "expected: base MODEL");
    if (p->based) return bad(p, "a base cannot have a base of its own");
    if (p->base[0]) return bad(p, "there is a base already");
    return copy_name(p->base, sizeof p->base, words[1]) ? STATUS_OK : bad(p, "overlong name");
}

/* ---- operators ---- */

/* Writes `text` with {} and {-1} replaced by numbers of layers. */
static status_t substitute(const parser_t *p, const char *text, int layer, char *out, size_t len) {
    size_t n = 0;
    while (*text && n < len) {
        int skip = 0, number = layer;
        if (!strncmp(text, "{}", 2)) skip = 2;
        if (!strncmp(text, "{-1}", 4)) skip = 4, number = layer - 1;
        if (!skip && (*text == '{' || *text == '}'))
            return bad(p, "'%s': expected {} or {-1}", text);
        if (skip)
            n += (size_t)snprintf(out + n, len - n, "%d", number);
        else
            out[n++] = *text;
        text += skip ? skip : 1;
    }
    if (n >= len) return bad(p, "a name is too long");
    out[n] = '\0';
    return STATUS_OK;
}

static status_t number_layers(const parser_t *p, const statement_t *from, int layer,
                              statement_t *to) {
    *to = *from;
    to->layer = layer;
    status_t st = STATUS_OK;
    for (int i = 0; i < from->outputs_len && st == STATUS_OK; i++)
        st = substitute(p, from->outputs[i], layer, to->outputs[i], NAME_LEN);
    for (int i = 0; i < from->arguments_len && st == STATUS_OK; i++)
        st = substitute(p, from->arguments[i].value, layer, to->arguments[i].value, VALUE_LEN);
    return st;
}

static status_t repeat_line(parser_t *p, char **words, int count) {
    if (count != 2) return bad(p, "expected: repeat COUNT");
    if (p->in_block) return bad(p, "a block cannot hold another one");
    p->in_block = true;
    p->block_start = p->model->statements_len;
    return whole_value(p, words[1], MAX_LAYERS, &p->repeats);
}

/* Writes the block out: its lines are templates until here. */
static status_t end_line(parser_t *p) {
    model_t *m = p->model;
    if (!p->in_block) return bad(p, "no block is open here");
    const int len = m->statements_len - p->block_start;
    statement_t *block = malloc(((size_t)len + 1) * sizeof *block);
    if (!block) return fail(STATUS_OOM, "out of host memory for a model description");
    memcpy(block, m->statements + p->block_start, (size_t)len * sizeof *block);
    m->statements_len = p->block_start;
    status_t st = len > 0 ? STATUS_OK : bad(p, "the block is empty");
    for (int64_t i = 0; i < p->repeats && st == STATUS_OK; i++, p->layer++)
        for (int j = 0; j < len && st == STATUS_OK; j++) {
            statement_t statement;
            st = number_layers(p, &block[j], p->layer, &statement);
            if (st == STATUS_OK && m->statements_len >= MAX_STATEMENTS)
                st = bad(p, "more than %d operators", MAX_STATEMENTS);
            if (st == STATUS_OK) st = APPEND(m->statements, m->statements_len, &statement);
        }
    free(block);
    p->in_block = false;
    return st;
}

static status_t parse_argument(const parser_t *p, const char *word, statement_t *s) {
    const char *equals = strchr(word, '=');
    argument_t *a = &s->arguments[s->arguments_len];
    if (s->arguments_len == MAX_ARGUMENTS) return bad(p, "more than %d arguments", MAX_ARGUMENTS);
    const size_t key_len = equals ? (size_t)(equals - word) : 0;
    if (key_len >= NAME_LEN || (equals && key_len == 0))
        return bad(p, "'%s' is no argument: expected BUFFER or KEY=VALUE", word);
    memcpy(a->key, word, key_len);
    a->key[key_len] = '\0';
    if (!copy_name(a->value, VALUE_LEN, equals ? equals + 1 : word))
        return bad(p, "'%s': the value is empty or too long", word);
    for (int i = 0; i < s->arguments_len && equals; i++)
        if (!strcmp(s->arguments[i].key, a->key)) return bad(p, "%s is there twice", a->key);
    s->arguments_len++;
    return STATUS_OK;
}

/* What results call it: as=, or the last part of a linear layer's name, or the operator. */
static status_t set_label(const parser_t *p, statement_t *s) {
    const char *as = statement_argument(s, "as"), *name = statement_argument(s, "name");
    char text[VALUE_LEN];
    snprintf(text, sizeof text, "%s", as ? as : name ? name : s->op);
    if (!as && name) {
        text[strcspn(text, "+")] = '\0';
        const char *dot = strrchr(text, '.');
        if (dot) memmove(text, dot + 1, strlen(dot));
    }
    return copy_name(s->label, sizeof s->label, text) ? STATUS_OK
                                                      : bad(p, "the label '%s' is too long", text);
}

static status_t operator_line(parser_t *p, char **words, int count) {
    statement_t s = {.line = p->line}, numbered;
    int equals = 0;
    while (equals < count && strcmp(words[equals], "=") != 0) equals++;
    if (equals == 0 || equals + 1 >= count)
        return bad(p, "'%s': expected BUFFER = OPERATOR ..., or a keyword", words[0]);
    if (equals > MAX_OUTPUTS) return bad(p, "more than %d outputs", MAX_OUTPUTS);
    for (int i = 0; i < equals; i++, s.outputs_len++)
        if (!copy_name(s.outputs[i], NAME_LEN, words[i]) || strpbrk(words[i], "[]?=,"))
            return bad(p, "'%s' cannot be the name of a buffer", words[i]);
    const char *op = words[equals + 1];
    if (strcmp(op, "linear") && strcmp(op, "attention") && !pointwise_find(op))
        return bad(p, "no operator '%.40s': see 'blroof list models'", op);
    copy_name(s.op, NAME_LEN, op);
    status_t st = STATUS_OK;
    for (int i = equals + 2; i < count && st == STATUS_OK; i++)
        st = parse_argument(p, words[i], &s);
    if (st == STATUS_OK) st = set_label(p, &s);
    if (st != STATUS_OK) return st;
    if (p->in_block) return APPEND(p->model->statements, p->model->statements_len, &s);
    st = number_layers(p, &s, p->layer, &numbered);
    return st == STATUS_OK ? APPEND(p->model->statements, p->model->statements_len, &numbered) : st;
}

/* ---- files ---- */

static status_t parse_line(parser_t *p, char *line) {
    static const struct {
        const char *name;
        status_t (*parse)(parser_t *, char **, int);
    } keywords[] = {{"phases", phases_line}, {"tokens", tokens_line}, {"size", size_line},
                    {"factor", factor_line}, {"use", use_line},       {"input", input_line},
                    {"output", output_line}, {"base", base_line},     {"repeat", repeat_line}};
    char *words[MAX_WORDS], *rest = NULL;
    int count = 0;
    line[strcspn(line, "#")] = '\0';
    for (char *word = strtok_r(line, " \t\r\n", &rest); word;
         word = strtok_r(NULL, " \t\r\n", &rest)) {
        if (count == MAX_WORDS) return bad(p, "more than %d words", MAX_WORDS);
        words[count++] = word;
    }
    if (count == 0) return STATUS_OK;
    if (count == 1 && !strcmp(words[0], "end")) return end_line(p);
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (!strcmp(words[0], keywords[i].name) && (count < 2 || strcmp(words[1], "=") != 0))
            return keywords[i].parse(p, words, count);
    if (p->base[0] && !p->based) return bad(p, "a description with a base has no operators");
    return operator_line(p, words, count);
}

static status_t parse_file(parser_t *p) {
    char line[LINE_LEN];
    FILE *file = fopen(p->path, "r");
    if (!file) return fail(STATUS_USAGE, "cannot read %s: %s", p->path, strerror(errno));
    status_t st = STATUS_OK;
    for (p->line = 1; st == STATUS_OK && fgets(line, sizeof line, file); p->line++) {
        const size_t len = strlen(line);
        if (len + 1 == sizeof line && line[len - 1] != '\n')
            st = bad(p, "a line of more than %d bytes", LINE_LEN - 2);
        else
            st = parse_line(p, line);
    }
    if (st == STATUS_OK && ferror(file))
        st = fail(STATUS_IO, "cannot read %s: %s", p->path, strerror(errno));
    fclose(file);
    p->line--;
    if (st == STATUS_OK && p->in_block) st = bad(p, "the block has no end");
    return st;
}

static status_t parse_base(parser_t *p) {
    char path[PATH_MAX];
    const char *slash = strrchr(p->path, '/');
    const bool beside = strchr(p->base, '/') && p->base[0] != '/' && slash;
    char name[PATH_MAX];
    const int len = snprintf(name, sizeof name, "%.*s%s", beside ? (int)(slash + 1 - p->path) : 0,
                             p->path, p->base);
    if (len >= (int)sizeof name) return bad(p, "the path of the base is too long");
    status_t st = data_find("models", ".model", "model", name, path);
    if (st != STATUS_OK) return st;
    if (!copy_name(p->model->source, sizeof p->model->source, path))
        return bad(p, "the path of the base is too long");
    p->path = path;
    p->based = true;
    st = parse_file(p);
    p->path = p->model->path;
    return st;
}

static status_t check_whole(const parser_t *p) {
    const model_t *m = p->model;
    const char *lacks = m->phases == 0           ? "phases line"
                        : m->tokens == 0         ? "tokens line"
                        : m->inputs_len == 0     ? "input line"
                        : m->statements_len == 0 ? "operator"
                        : !m->output[0]          ? "output line"
                                                 : NULL;
    if (lacks) return fail(STATUS_USAGE, "%s: the description has no %s", m->path, lacks);
    for (int i = 0; i < m->uses_len; i++) {
        bool found = false;
        for (int j = 0; j < m->statements_len && !found; j++)
            found = !strcmp(m->statements[j].op, "linear") &&
                    !strcmp(m->statements[j].label, m->uses[i].label);
        if (!found)
            return fail(STATUS_USAGE, "%s: use %s: there is no linear layer of that name", m->path,
                        m->uses[i].label);
    }
    return STATUS_OK;
}

status_t model_load(const char *name_or_path, model_t *m) {
    char path[PATH_MAX];
    *m = (model_t){0};
    status_t st = data_find("models", ".model", "model", name_or_path, path);
    if (st != STATUS_OK) return st;
    const char *slash = strrchr(path, '/');
    const char *file = slash ? slash + 1 : path;
    const char *suffix = strstr(file, ".model");
    const int name_len = suffix ? (int)(suffix - file) : (int)strlen(file);
    if (!copy_name(m->path, sizeof m->path, path) || name_len < 1 || name_len >= NAME_LEN)
        return fail(STATUS_USAGE, "%s: the name is empty or too long", path);
    snprintf(m->name, sizeof m->name, "%.*s", name_len, file);
    memcpy(m->source, m->path, sizeof m->source);
    parser_t p = {.model = m, .path = m->path};
    TRY(parse_file(&p));
    if (p.base[0]) TRY(parse_base(&p));
    st = check_whole(&p);
cleanup:
    if (st != STATUS_OK) model_free(m);
    return st;
}

void model_free(model_t *m) {
    free(m->sizes);
    free(m->factors);
    free(m->uses);
    free(m->inputs);
    free(m->statements);
    *m = (model_t){0};
}

status_t model_names(void (*visit)(void *ctx, const char *name), void *ctx) {
    return data_names("models", ".model", visit, ctx);
}

/* ---- questions ---- */

const char *statement_argument(const statement_t *s, const char *key) {
    for (int i = 0; i < s->arguments_len; i++)
        if (!strcmp(s->arguments[i].key, key)) return s->arguments[i].value;
    return NULL;
}

const model_factor_t *model_factor(const model_t *m, const char *group, const char *structure) {
    for (int i = 0; group && i < m->factors_len; i++)
        if (!strcmp(m->factors[i].group, group) && !strcmp(m->factors[i].structure, structure))
            return &m->factors[i];
    return NULL;
}

const model_use_t *model_use(const model_t *m, const char *label, int layer) {
    for (int i = 0; i < m->uses_len; i++)
        if (!strcmp(m->uses[i].label, label) && layer >= m->uses[i].first &&
            layer <= m->uses[i].last)
            return &m->uses[i];
    return NULL;
}

bool model_takes_tokens(const model_t *m) {
    for (int i = 0; i < m->inputs_len; i++)
        if (m->inputs[i].per_token) return true;
    return false;
}
