# blroof: `make help` lists the targets. V=1 shows the commands; DEBUG=1 and ASAN=1 are build modes.

VERSION := 0.1.0
BUILD   ?= build
Q       := $(if $(V),,@)

CC   ?= cc
CXX  ?= c++
NVCC ?= $(firstword $(shell command -v nvcc 2>/dev/null) $(wildcard /usr/local/cuda/bin/nvcc))
CUDA_HOME ?= $(if $(NVCC),$(patsubst %/bin/nvcc,%,$(realpath $(NVCC))))

# Machine code for Ampere, Ada and Hopper, PTX for what is newer (or is a Tegra).
GENCODE ?= -gencode arch=compute_80,code=[sm_80,compute_80] \
           -gencode arch=compute_89,code=[sm_89,compute_89] \
           -gencode arch=compute_90a,code=sm_90a

WARN   := -Wall -Wextra -Werror
OPT    := $(if $(DEBUG)$(ASAN),-O1 -g,-O3 -g1)
ASAN_FLAGS := $(if $(ASAN),-fsanitize=address$(,)undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
CPPFLAGS := -I. -D_GNU_SOURCE -DBLROOF_VERSION='"$(VERSION)"'
CFLAGS   := -std=c11 $(OPT) $(WARN) -fopenmp $(ASAN_FLAGS)
NVCCFLAGS := -std=c++20 -O3 -lineinfo $(GENCODE) -Xcompiler -Wall,-Wextra,-fopenmp -Werror all-warnings \
             --expt-relaxed-constexpr -I$(CUDA_HOME)/include
comma := ,
ASAN_FLAGS := $(if $(ASAN),-fsanitize=address$(comma)undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)

# Static OpenBLAS built for OpenMP where the system has it: its threads are then our threads.
OPENBLAS_DIR := $(firstword $(wildcard /usr/lib/*/openblas-openmp))
OPENBLAS_INC := $(firstword $(wildcard /usr/include/*/openblas-openmp))
CPPFLAGS += $(if $(OPENBLAS_INC),-I$(OPENBLAS_INC))
OPENBLAS := $(firstword $(wildcard $(OPENBLAS_DIR)/libopenblas.a) -lopenblas)
LIBCSV   := $(firstword $(wildcard /usr/lib/*/libcsv.a) -lcsv)
LDLIBS   := $(OPENBLAS) $(LIBCSV) -lgomp -lm -ldl -lpthread
LDFLAGS  := $(ASAN_FLAGS) -Wl,-rpath,'$$ORIGIN/../lib' -Wl,-rpath,'$$ORIGIN/../../lib'

C_SRC  := $(sort $(wildcard kernels/*.c kernels/*/*.c harness/*.c roofline/*.c profiles/*.c results/*.c plots/*.c))
CU_SRC := $(sort $(wildcard kernels/*/*.cu harness/*.cu roofline/*.cu profiles/*.cu))
TEST_SRC := $(sort $(wildcard tests/test_*.c))

OBJ := $(C_SRC:%.c=$(BUILD)/%.o)
LINK := $(CC)
ifneq ($(NVCC),)
ifeq ($(ASAN),)
OBJ  += $(CU_SRC:%.cu=$(BUILD)/%.cu.o)
LINK := $(CXX) -static-libstdc++ -static-libgcc
LDLIBS := $(LDLIBS) $(CUDA_HOME)/lib64/libcudart_static.a -lrt -ldl -lpthread
CPPFLAGS += -DBLROOF_CUDA=1
endif
endif
LIB_OBJ := $(filter-out $(BUILD)/harness/main.o,$(OBJ))
TESTS   := $(TEST_SRC:tests/%.c=$(BUILD)/tests/%)

all: $(BUILD)/blroof ## build the program (CUDA too when nvcc is there)

$(BUILD)/blroof: $(OBJ)
	$(if $(V),,@echo "  LINK  $@")
	$(Q)$(LINK) -o $@ $^ $(LDFLAGS) $(LDLIBS)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC    $<")
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/%.cu.o: %.cu
	@mkdir -p $(@D)
	$(if $(V),,@echo "  NVCC  $<")
	$(Q)$(NVCC) $(CPPFLAGS) $(NVCCFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(LIB_OBJ)
	$(if $(V),,@echo "  LINK  $@")
	$(Q)$(LINK) -o $@ $^ $(LDFLAGS) -lcmocka $(LDLIBS)

clean: ## remove everything that was built
	rm -rf $(BUILD)

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' Makefile

.PHONY: all clean help
.SECONDARY:
-include $(OBJ:.o=.d) $(TEST_SRC:%.c=$(BUILD)/%.d)
