# blroof: `make help` lists the targets. V=1 shows the commands; DEBUG=1 and ASAN=1 are build modes.

VERSION := 0.1.0
BUILD   ?= build
Q       := $(if $(V),,@)
say      = $(if $(V),,@printf '  %-5s %s\n' $(1) $(2))

NVCC ?= $(firstword $(shell command -v nvcc 2>/dev/null) $(wildcard /usr/local/cuda/bin/nvcc))
CUDA_HOME ?= $(patsubst %/bin/nvcc,%,$(realpath $(NVCC)))

# CUPTI of CUDA 12.6 or later; without it the program is built without counters.
CUPTI_INC := $(patsubst %/,%,$(dir $(firstword $(wildcard $(foreach folder,include extras/CUPTI/include,\
             $(CUDA_HOME)/$(folder)/cupti_range_profiler.h)))))

# Machine code for Ampere, Ada and Hopper; PTX for what is newer, or is a Tegra.
GENCODE ?= -gencode arch=compute_80,code=[sm_80$(comma)compute_80] \
           -gencode arch=compute_89,code=[sm_89$(comma)compute_89] \
           -gencode arch=compute_90a,code=sm_90a
comma := ,

# OpenBLAS built for OpenMP, so that its threads are our threads; `make dist` carries it along.
MULTIARCH    := $(shell $(CC) -print-multiarch 2>/dev/null)
OPENBLAS_LIB := $(wildcard /usr/lib/$(MULTIARCH)/openblas-openmp)
OPENBLAS_INC := $(wildcard /usr/include/$(MULTIARCH)/openblas-openmp)
LIBCSV_A     := $(wildcard /usr/lib/$(MULTIARCH)/libcsv.a)
LIBJANSSON_A := $(wildcard /usr/lib/$(MULTIARCH)/libjansson.a)

SANITIZE := $(if $(ASAN)$(FUZZ),-fsanitize=address$(comma)undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
OPT      := $(if $(DEBUG)$(ASAN)$(FUZZ),-O1 -g,-O3 -g1)
CPPFLAGS := -I. -I$(BUILD) -D_GNU_SOURCE $(OPENBLAS_INC:%=-I%)
# Nothing here looks at floating-point exceptions, which would keep loops from being vectorised.
CFLAGS   := -std=c11 $(OPT) -Wall -Wextra -Wno-missing-field-initializers -fno-trapping-math $(SANITIZE) \
            $(if $(FUZZ),-fopenmp=libgomp -fsanitize=fuzzer-no-link,-Werror -fopenmp)
NVCCFLAGS := -std=c++20 -O3 -lineinfo --compress-mode=size $(GENCODE) -Werror all-warnings --expt-relaxed-constexpr \
             -Xcompiler -Wall,-Wextra,-Wno-missing-field-initializers,-fopenmp $(CUPTI_INC:%=-I%)
LDFLAGS  := $(SANITIZE) -Wl,-rpath,'$$ORIGIN/../lib' -Wl,-rpath,'$$ORIGIN/../../lib' \
            $(OPENBLAS_LIB:%=-L%) $(OPENBLAS_LIB:%=-Wl$(comma)-rpath$(comma)%)
# A library that another one needs is only found beside the program if the program names it too.
MD4C     := -Wl,--push-state,--no-as-needed -lmd4c-html -lmd4c -Wl,--pop-state
LDLIBS   := -lopenblas $(MD4C) $(or $(LIBCSV_A),-lcsv) $(or $(LIBJANSSON_A),-ljansson) -lgomp -lm -ldl -lpthread

C_SRC    := $(sort $(wildcard kernels/*.c kernels/*/*.c harness/*.c roofline/*.c profiles/*.c results/*.c plots/*.c))
CU_SRC   := $(sort $(wildcard kernels/*/*.cu harness/*.cu roofline/*.cu) $(if $(CUPTI_INC),$(wildcard profiles/*.cu)))
TEST_SRC := $(sort $(wildcard tests/test_*.c))
OBJ      := $(C_SRC:%.c=$(BUILD)/%.o)
LINK     := $(CC)
# Sanitizers look at host code; CUDA is left out of that build.
ifneq ($(if $(ASAN),,$(NVCC)),)
OBJ    += $(CU_SRC:%.cu=$(BUILD)/%.cu.o)
LINK   := $(CXX) -static-libstdc++ -static-libgcc
LDLIBS += $(CUDA_HOME)/lib64/libcudart_static.a -lrt -ldl -lpthread
endif
LIB_OBJ := $(filter-out $(BUILD)/harness/main.o,$(OBJ))
TESTS   := $(TEST_SRC:tests/%.c=$(BUILD)/tests/%) $(BUILD)/tests/blroof_faulty
FAULTY  := $(BUILD)/tests/faulty.o $(if $(filter %.cu.o,$(OBJ)),$(BUILD)/tests/faulty.cu.o)

.DEFAULT_GOAL := all

bench: deps ## install what is missing, build, measure this machine, draw the report
	$(Q)$(MAKE) --no-print-directory all
	$(Q)sh tests/bench.sh $(BUILD)/blroof

test: deps ## build and run every test
	$(Q)$(MAKE) --no-print-directory all tests
	$(Q)BUILD=$(BUILD) sh tests/run.sh

all: $(BUILD)/blroof ## build the program, with CUDA when nvcc is there

tests: $(TESTS) ## build the test programs

deps: ## install the packages that are missing (root or sudo), or print the line to run
	$(Q)sh tests/deps.sh

asan: ## run the host tests under ASan and UBSan
	$(Q)$(MAKE) --no-print-directory ASAN=1 BUILD=$(BUILD)-asan all tests
	$(Q)BUILD=$(BUILD)-asan sh tests/run.sh --host

FUZZ_SECONDS ?= 60
FUZZ_TARGETS := $(notdir $(wildcard tests/fuzz/corpus/*))

fuzz: ## run the readers of files under libFuzzer (clang), FUZZ_SECONDS each (60)
	$(Q)command -v clang >/dev/null || { echo "make fuzz needs clang: install the package clang" >&2; exit 1; }
	$(Q)$(MAKE) --no-print-directory FUZZ=1 NVCC= CC=clang BUILD=$(BUILD)-fuzz $(BUILD)-fuzz/fuzz
	$(Q)BUILD=$(BUILD)-fuzz sh tests/fuzz.sh $(FUZZ_SECONDS) $(FUZZ_TARGETS)

dist: all tests ## one relocatable tarball: program, libraries, tests
	$(Q)sh tests/dist.sh $(BUILD) blroof-$(VERSION)-$(shell uname -m)

PREFIX ?= /usr/local
INSTALL = $(DESTDIR)$(PREFIX)

install: all ## program, manual page and completions into PREFIX (/usr/local)
	$(Q)sh tests/install.sh $(BUILD)/blroof "$(INSTALL)"

SOURCES := $(shell git ls-files --cached --others --exclude-standard '*.c' '*.h' '*.cu' '*.cuh' 2>/dev/null)

format: ## rewrite the sources in the house style
	clang-format -i $(SOURCES)

lint: $(BUILD)/build_version.h ## check style (clang-format) and look for bugs (clang-tidy, cppcheck)
	clang-format --dry-run --Werror $(SOURCES)
	cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,performance,portability \
	  --inline-suppr -I. -I$(BUILD) $(C_SRC)
	printf '%s\n' $(C_SRC) $(TEST_SRC) | xargs -P 2 -n 4 sh -c 'clang-tidy --quiet --warnings-as-errors="*" \
	  "$$@" -- $(CPPFLAGS) -std=c11 -fopenmp -idirafter $(shell $(CC) -print-file-name=include) 2>/dev/null' tidy

clean: ## remove everything that was built
	rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-fuzz

help: ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' Makefile

$(BUILD)/blroof: $(OBJ)
	$(call say,LINK,$@)
	$(Q)$(LINK) -o $@ $^ $(LDFLAGS) $(LDLIBS)

$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# C7519 is ptxas saying where it put a fence before wgmma by itself: a thousand lines.
$(BUILD)/%.cu.o: %.cu Makefile
	@mkdir -p $(@D)
	$(call say,NVCC,$<)
	$(Q)$(NVCC) $(CPPFLAGS) $(NVCCFLAGS) -MMD -MP -c -o $@ $< >$@.log 2>&1; status=$$?; \
	  grep -v '(C7519)' $@.log >&2; rm -f $@.log; exit $$status

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(LIB_OBJ)
	$(call say,LINK,$@)
	$(Q)$(LINK) -o $@ $(filter %.o,$^) $(LDFLAGS) -lcmocka $(LDLIBS)

$(BUILD)/fuzz: $(BUILD)/tests/fuzz/fuzz.o $(BUILD)/tests/fuzz/targets.o $(LIB_OBJ)
	$(call say,LINK,$@)
	$(Q)$(CC) -fsanitize=fuzzer -o $@ $^ $(LDFLAGS) $(LDLIBS)

$(BUILD)/tests/test_corpus: $(BUILD)/tests/fuzz/targets.o

# The program with variants that crash, hang, ...
$(BUILD)/tests/blroof_faulty: $(OBJ) $(FAULTY)
	$(call say,LINK,$@)
	$(Q)$(LINK) -o $@ $^ $(LDFLAGS) $(LDLIBS)

# Rewritten only when the commit or its cleanness changes. Committed runs do not make a tree dirty.
$(BUILD)/build_version.h: FORCE
	@mkdir -p $(@D)
	@sh tests/version.sh $(VERSION) "$(NVCC)" > $@.new; cmp -s $@.new $@ && rm $@.new || mv $@.new $@

$(BUILD)/harness/version.o: $(BUILD)/build_version.h

FORCE:
.PHONY: bench test all tests deps asan fuzz dist install format lint clean help FORCE
.SECONDARY:
-include $(OBJ:.o=.d) $(FAULTY:.o=.d) $(TEST_SRC:%.c=$(BUILD)/%.d)
