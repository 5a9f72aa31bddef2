// SPDX-License-Identifier: Apache-2.0

//go:build guest

// Package fifty has fifty tests that do nothing: what it costs to run them is what fifty fresh guests cost.
package fifty

import "testing"

func Test01(t *testing.T) {}
func Test02(t *testing.T) {}
func Test03(t *testing.T) {}
func Test04(t *testing.T) {}
func Test05(t *testing.T) {}
func Test06(t *testing.T) {}
func Test07(t *testing.T) {}
func Test08(t *testing.T) {}
func Test09(t *testing.T) {}
func Test10(t *testing.T) {}
func Test11(t *testing.T) {}
func Test12(t *testing.T) {}
func Test13(t *testing.T) {}
func Test14(t *testing.T) {}
func Test15(t *testing.T) {}
func Test16(t *testing.T) {}
func Test17(t *testing.T) {}
func Test18(t *testing.T) {}
func Test19(t *testing.T) {}
func Test20(t *testing.T) {}
func Test21(t *testing.T) {}
func Test22(t *testing.T) {}
func Test23(t *testing.T) {}
func Test24(t *testing.T) {}
func Test25(t *testing.T) {}
func Test26(t *testing.T) {}
func Test27(t *testing.T) {}
func Test28(t *testing.T) {}
func Test29(t *testing.T) {}
func Test30(t *testing.T) {}
func Test31(t *testing.T) {}
func Test32(t *testing.T) {}
func Test33(t *testing.T) {}
func Test34(t *testing.T) {}
func Test35(t *testing.T) {}
func Test36(t *testing.T) {}
func Test37(t *testing.T) {}
func Test38(t *testing.T) {}
func Test39(t *testing.T) {}
func Test40(t *testing.T) {}
func Test41(t *testing.T) {}
func Test42(t *testing.T) {}
func Test43(t *testing.T) {}
func Test44(t *testing.T) {}
func Test45(t *testing.T) {}
func Test46(t *testing.T) {}
func Test47(t *testing.T) {}
func Test48(t *testing.T) {}
func Test49(t *testing.T) {}
func Test50(t *testing.T) {}
