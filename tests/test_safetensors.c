/* harness/safetensors.c: files of weights, good and bad. */
#include <math.h>

#include "harness/safetensors.h"
#include "tests/assert_ok.h"
#include "tests/temp_file.h"

/* Length of the header as it should be, or `len` where it is not 0; `data` bytes follow. */
static void write_weights(const char *header, uint64_t len, size_t data) {
    const size_t header_len = strlen(header);
    unsigned char *bytes = calloc(1, 8 + header_len + data + 1);
    assert_non_null(bytes);
    if (len == 0) len = header_len;
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(len >> 8 * i & 0xff);
    snprintf((char *)bytes + 8, header_len + 1, "%s", header);
    temp_write(bytes, 8 + header_len + data);
    free(bytes);
}

#define F32 "\"dtype\":\"F32\""

typedef struct {
    const char *name, *header;
    uint64_t len;
    size_t data;
    const char *message;
} bad_weights_t;

static const bad_weights_t bad_weights[] = {
    {"header beyond the file", "{}", 1000, 0, "its header would have 1000 bytes"},
    {"header of 2^63", "{}", 1ULL << 63, 0, "its header would have 9223372036854775808 bytes"},
    {"no JSON", "{\"a\":", 0, 0, "the header is no JSON object"},
    {"no object", "[1,2]", 0, 0, "no JSON object: it is another value"},
    {"names twice", "{\"a\":{},\"a\":{}}", 0, 0, "no JSON object: duplicate object key"},
    {"deep nesting", "[[[[[[[[[[[[[[[[[[", 0, 0, "no JSON object"},
    {"no dtype", "{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 0, 4, "a has no dtype"},
    {"no shape", "{\"a\":{" F32 ",\"data_offsets\":[0,4]}}", 0, 4, "a has no shape"},
    {"negative shape", "{\"a\":{" F32 ",\"shape\":[-1],\"data_offsets\":[0,4]}}", 0, 4,
     "a has an impossible shape"},
    {"real shape", "{\"a\":{" F32 ",\"shape\":[1.0],\"data_offsets\":[0,4]}}", 0, 4,
     "a has an impossible shape"},
    {"shape overflows",
     "{\"a\":{" F32 ",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0, 4,
     "a has an impossible shape"},
    {"bytes overflow", "{\"a\":{" F32 ",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}",
     0, 4, "which its shape does not"},
    {"beyond the data", "{\"a\":{" F32 ",\"shape\":[2],\"data_offsets\":[0,8]}}", 0, 4,
     "lies outside of the file's data"},
    {"offsets swapped", "{\"a\":{" F32 ",\"shape\":[0],\"data_offsets\":[4,0]}}", 0, 4,
     "lies outside"},
    {"negative offset", "{\"a\":{" F32 ",\"shape\":[1],\"data_offsets\":[-4,0]}}", 0, 4,
     "lies outside"},
    {"one offset", "{\"a\":{" F32 ",\"shape\":[1],\"data_offsets\":[4]}}", 0, 4, "lies outside"},
    {"size and shape differ", "{\"a\":{" F32 ",\"shape\":[2],\"data_offsets\":[0,4]}}", 0, 4,
     "takes 4 bytes, which its shape does not"},
    {"nine dimensions", "{\"a\":{" F32 ",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 0,
     4, "no shape of at most 8"},
};
enum { BAD_WEIGHTS = sizeof bad_weights / sizeof *bad_weights };

static void test_bad_weights(void **state) {
    const bad_weights_t *bad = *state;
    safetensors_t f;
    write_weights(bad->header, bad->len, bad->data);
    assert_int_equal(safetensors_open(temp_path, &f), STATUS_USAGE);
    if (!strstr(last_error(), bad->message) || !strstr(last_error(), temp_path))
        fail_msg("\"%s\" lacks \"%s\"", last_error(), bad->message);
    assert_null(f.tensors);
}

static void test_short_and_missing_weights(void **state) {
    (void)state;
    safetensors_t f;
    temp_write("1234567", 7);
    assert_int_equal(safetensors_open(temp_path, &f), STATUS_USAGE);
    assert_non_null(strstr(last_error(), "it has 7 bytes"));
    assert_int_equal(safetensors_open("/nonexistent", &f), STATUS_USAGE);
    assert_int_equal(safetensors_open("/tmp", &f), STATUS_USAGE);
}

/* Every dtype that is read, unaligned as files may have it, and the rules of names. */
static void test_read_weights(void **state) {
    (void)state;
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"h.a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
        "\"b\":{\"dtype\":\"F16\",\"shape\":[1,2],\"data_offsets\":[8,12]},"
        "\"c\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[12,14]},"
        "\"x.d\":{\"dtype\":\"I64\",\"shape\":[0],\"data_offsets\":[14,14]},"
        "\"y.d\":{\"dtype\":\"F8_E5M2\",\"shape\":[1],\"data_offsets\":[0,1]}}";
    const float first[] = {1.5F, -3};
    const uint16_t rest[] = {0x3e00, 0xfc00, 0x4040}; /* 1.5, -inf; 3 */
    unsigned char bytes[8 + sizeof header - 1 + 14] = {(sizeof header - 1) & 0xff,
                                                       (sizeof header - 1) >> 8};
    memcpy(bytes + 8, header, sizeof header - 1);
    memcpy(bytes + 8 + sizeof header - 1, first, 8);
    memcpy(bytes + 16 + sizeof header - 1, rest, 6);
    temp_write(bytes, sizeof bytes);
    safetensors_t f;
    const stored_tensor_t *t;
    float values[2];
    ASSERT_OK(safetensors_open(temp_path, &f));
    assert_int_equal(f.tensors_len, 5);
    ASSERT_OK(safetensors_find(&f, "a", &t));
    ASSERT_OK(safetensors_read(&f, t, values));
    assert_true(values[0] == 1.5F && values[1] == -3);
    ASSERT_OK(safetensors_find(&f, "b", &t));
    ASSERT_OK(safetensors_read(&f, t, values));
    assert_true(values[0] == 1.5F && isinf(values[1]) && values[1] < 0);
    ASSERT_OK(safetensors_find(&f, "c", &t));
    assert_int_equal(t->count, 1);
    ASSERT_OK(safetensors_read(&f, t, values));
    assert_true(values[0] == 3);
    assert_int_equal(safetensors_find(&f, "d", &t), STATUS_UNSUPPORTED);
    assert_non_null(strstr(last_error(), "has several tensor d"));
    assert_int_equal(safetensors_find(&f, ".a", &t), STATUS_UNSUPPORTED);
    ASSERT_OK(safetensors_find(&f, "y.d", &t));
    assert_int_equal(safetensors_read(&f, t, values), STATUS_UNSUPPORTED);
    assert_non_null(strstr(last_error(), "F8_E5M2: F32, F16 or BF16 can be read"));
    safetensors_close(&f);
}

int main(void) {
    static const struct CMUnitTest fixed[] = {
        cmocka_unit_test(test_short_and_missing_weights),
        cmocka_unit_test(test_read_weights),
    };
    enum { FIXED = sizeof fixed / sizeof *fixed };
    struct CMUnitTest tests[BAD_WEIGHTS + FIXED] = {0};
    for (int i = 0; i < BAD_WEIGHTS; i++)
        tests[i] = (struct CMUnitTest){.name = bad_weights[i].name,
                                       .test_func = test_bad_weights,
                                       .initial_state = (void *)&bad_weights[i]};
    memcpy(tests + BAD_WEIGHTS, fixed, sizeof fixed);
    return cmocka_run_group_tests(tests, NULL, temp_remove);
}
