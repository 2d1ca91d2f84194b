//! What the shop sells, and how it advertises it.

use crate::demo::body::Product;

pub(super) const PRODUCTS: &[Product] = &[
    Product {
        id: 3_891_553_100,
        title: "Navy Crew Neck T-Shirt",
        variant: "M",
        sku: "TS-NAVY-M",
        price: 2349,
    },
    Product {
        id: 3_891_553_101,
        title: "White Crew Neck T-Shirt",
        variant: "L",
        sku: "TS-WHITE-L",
        price: 2449,
    },
    Product {
        id: 3_891_553_102,
        title: "Wool Socks \"Alp\"",
        variant: "39-42",
        sku: "SO-ALP-39",
        price: 1290,
    },
    Product { id: 3_891_553_103, title: "Canvas Tote", variant: "Natural", sku: "BA-TOTE", price: 1895 },
    Product { id: 3_891_553_104, title: "Rain Jacket", variant: "S", sku: "JA-RAIN-S", price: 11_900 },
    Product { id: 3_891_553_105, title: "Café Mug", variant: "Blue", sku: "MU-CAFE-B", price: 1450 },
    Product { id: 3_891_553_106, title: "Notebook A5", variant: "Dotted", sku: "NB-A5-D", price: 999 },
    Product { id: 3_891_553_107, title: "Linen Shirt", variant: "M", sku: "SH-LIN-M", price: 6900 },
    Product { id: 3_891_553_108, title: "Enamel Pin", variant: "Fox", sku: "PI-FOX", price: 650 },
    Product { id: 3_891_553_109, title: "Gift Card Sleeve", variant: "Red", sku: "GC-SLV", price: 1 },
    Product { id: 3_891_553_110, title: "Denim Apron", variant: "One size", sku: "AP-DEN", price: 4225 },
    Product { id: 3_891_553_111, title: "Beeswax Candle", variant: "20 cm", sku: "CA-BEE-20", price: 1777 },
];
pub(super) const CAMPAIGNS: &[&str] = &["spring", "summer", "welcome", "back-in-stock"];
pub(super) const COUPONS: &[&str] = &["SPRING10", "WELCOME10", "LOYAL10"];
