// SPDX-License-Identifier: Apache-2.0

//go:build !race

package vmtest

const slow = 1
